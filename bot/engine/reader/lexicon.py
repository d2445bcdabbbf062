"""The words by which people ask for a field, and by which documents name it.

A concept is a set of words that mean one field. A question and a key on a page that share a concept are about the
same thing, although they share no character (`多少钱` and `应付金额`). Data only: add a word where one is missing.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Literal, NamedTuple

Kind = Literal["any", "amount", "number", "time", "phone", "code", "name", "reason"]


class Concept(NamedTuple):
    """kind: what its value looks like. words: as found in questions and keys, longest first wins."""

    name: str
    kind: Kind
    words: tuple[str, ...]


def _concept(name: str, kind: Kind, words: str) -> Concept:
    return Concept(name, kind, tuple(words.split()))


CONCEPTS = (
    _concept(
        "error_code",
        "code",
        "错误码 错误代码 错误编号 错误号 报错码 报错代码 异常码 异常代码 故障码 状态码 错误ID errorcode code 代码",
    ),
    _concept(
        "order_id",
        "code",
        "订单编号 订单号 订单号码 单号 交易单号 交易号 流水号 订单ID 交易编号 交易流水号 预约单号 预约号",
    ),
    _concept("tracking", "code", "运单号 运单号码 运单编号 快递单号 物流单号 快递号 运单"),
    _concept("request_id", "code", "请求编号 请求ID 请求号 追踪ID 追踪码 日志编号 requestid traceid"),
    _concept(
        "due",
        "amount",
        "应付金额 应付款 应付 待支付金额 待支付 待付款 支付金额 付款金额 交易金额 需付款 需要付 要付 要交多少 该付",
    ),
    _concept(
        "paid",
        "amount",
        "实付款 实付金额 实付 实际支付 实际付款 实收金额 实收 付款合计 实际付了 付了 花了 支付了 已支付 已付款 实际付",
    ),
    _concept(
        "total", "amount", "价税合计 合计金额 总金额 总价 总计 合计 总额 订单总额 共计 一共多少钱 总共多少钱 小写"
    ),
    _concept("goods_total", "amount", "商品总价 商品金额 商品总额 商品小计 小计"),
    _concept("money", "amount", "多少钱 多少元 几块钱 金额 费用 价钱"),
    _concept(
        "price",
        "amount",
        "券后价 到手价 活动价 现价 售价 秒杀价 促销价 优惠价 折后价 拼团价 会员价 现在卖 卖多少 现在多少钱 价格 "
        "单价 现在的价格 多少钱一",
    ),
    _concept("old_price", "amount", "原价 划线价 市场价 吊牌价 专柜价 原来多少 原来卖 日常价 参考价 划掉的价"),
    _concept("discount", "amount", "优惠 优惠券 优惠金额 减免 立减 满减 折扣 减了 便宜了 红包抵扣 优惠了 店铺优惠"),
    _concept("freight", "amount", "运费 邮费 配送费 快递费 运费险"),
    _concept("deposit", "amount", "押金 定金 订金 保证金"),
    _concept("balance", "amount", "余额 剩余金额 可用余额"),
    _concept("tax_rate", "number", "税率 税率/征收率 征收率"),
    _concept("tax", "amount", "税额"),
    _concept(
        "merchant",
        "name",
        "商户名称 商户 商家名称 商家 店铺名称 店铺 收款方 收款商户 哪家店 店名 付给谁 付给哪 卖家 门店",
    ),
    _concept("buyer", "name", "购买方名称 购买方 购方 买方 付款单位 抬头 发票抬头 买家 开给谁 谁买 购货单位 购货方"),
    _concept("seller", "name", "销售方名称 销售方 销方 卖方 收款单位 开票方 谁卖 销货单位 销货方 开票单位"),
    _concept("taxpayer", "code", "纳税人识别号 统一社会信用代码 信用代码 税号 识别号"),
    _concept("invoice_number", "code", "发票号码 发票号 票号 发票编号"),
    _concept("invoice_code", "code", "发票代码"),
    _concept("invoice_date", "time", "开票日期 开票时间 哪天开的 什么时候开的 几号开的"),
    _concept("issuer", "name", "开票人 谁开的票 开票员"),
    _concept("payee", "name", "收款人"),
    _concept("reviewer", "name", "复核人 复核 审核者 审核人 审核医生 审核医师 谁审核 审核"),
    _concept("tester", "name", "检验者 检验人 检验医生 检验师 检测人 检验医师 谁检验 谁做的检验 检验员"),
    _concept("remark", "any", "备注 附言 留言 买家留言"),
    _concept(
        "payment", "any", "支付方式 付款方式 支付渠道 怎么付 用什么付 怎么支付 用什么支付 付款卡 哪张卡 什么卡 哪个卡"
    ),
    _concept("bank", "name", "银行 发卡行 开户行 哪家银行 银行卡"),
    _concept("order_time", "time", "下单时间 下单日期 创建时间 什么时候下单 几点下单 哪天下单 什么时候买 下的单 下单"),
    _concept("pay_time", "time", "支付时间 付款时间 交易时间 什么时候付 付的款"),
    _concept("time", "time", "发生时间 时间 日期 什么时候 几点 哪天 几号 何时 啥时候 哪一天 什么时间"),
    _concept(
        "arrival",
        "time",
        "预计送达 预计到达 送达时间 预计 送到 送达 到货 什么时候到 几点到 配送时间 到货时间 什么时候能到 哪天到 几号到",
    ),
    _concept("send_time", "time", "发货时间 什么时候发货 几时发货"),
    _concept("sample_time", "time", "采样时间 采集时间 采样日期 送检时间 送检日期 采样 哪天采 抽血时间 采集"),
    _concept("report_time", "time", "报告时间 报告日期 出报告"),
    _concept("valid", "time", "有效期至 有效期 截止日期 截止时间 到期时间 保质期 截止"),
    _concept("courier", "name", "快递公司 物流公司 承运公司 承运商 配送公司 哪家快递 什么快递 配送方式 快递 物流"),
    _concept("receiver", "name", "收货人 收件人 收货信息 谁收货 谁收 联系人"),
    _concept("address", "any", "收货地址 配送地址 送货地址 详细地址 地址 送到哪 寄到哪 收货地点"),
    _concept("origin", "name", "发货地 产地 原产地 哪里发货 从哪发 哪里产 从哪里发 发货地址"),
    _concept("status", "any", "订单状态 当前状态 物流状态 状态 进度"),
    _concept(
        "phone",
        "phone",
        "客服电话 联系电话 客服热线 服务热线 热线电话 咨询电话 手机号码 手机号 电话号码 电话 热线 致电 联系客服 "
        "拨打 打什么",
    ),
    _concept("brand", "name", "品牌 牌子 什么牌"),
    _concept("model", "code", "型号 货号 款号 产品型号"),
    _concept("colour", "name", "颜色分类 颜色 配色 花色 什么色"),
    _concept("size", "any", "尺码 尺寸 码数 大小 鞋码 码段 多大码"),
    _concept("capacity", "any", "容量 净含量 多大容量 规格容量 毫升"),
    _concept("weight", "any", "重量 净重 毛重 多重"),
    _concept("material", "any", "材质 面料 材料 成分 质地 什么做的 鞋面材质 内胆材质 填充物"),
    _concept("spec", "any", "规格型号 规格 款式 版本"),
    _concept("sales", "any", "月销量 月销 销量 已售 卖了多少 卖出 总销量 付款人数 人付款 售出"),
    _concept("rating", "any", "好评率 好评度 好评 评分 店铺评分"),
    _concept("stock", "any", "库存 剩余件数 还剩"),
    _concept("warranty", "any", "保修期 质保 保修 售后"),
    _concept("battery", "any", "续航 续航时间 电池 电池容量"),
    _concept("product", "name", "商品名称 品名 商品名 什么商品 买的是什么 买了什么 什么东西 产品名称 商品是什么"),
    _concept("quantity", "number", "购买数量 数量 买了几 买了多少 几件 几个 多少件"),
    _concept("patient", "name", "患者姓名 病人姓名 姓名 患者 病人 受检者 受检人 叫什么名字 名字 谁的"),
    _concept("sex", "name", "性别 男的还是女的 男还是女"),
    _concept("age", "number", "年龄 多大年纪 几岁 多大了 多少岁"),
    _concept("department", "name", "科室 科别 哪个科 什么科 送检科室 就诊科室 申请科室"),
    _concept("doctor", "name", "申请医生 送检医生 主治医生 医生 大夫 医师 申请医师 送检医师"),
    _concept("sample", "any", "标本类型 样本类型 标本种类 标本 样本种类"),
    _concept("sample_id", "code", "样本号 样本编号 标本号 条码号 标本编号 样品编号"),
    _concept("score", "number", "得分 分数 成绩 总分 得了多少分 考了多少 多少分 几分 考几分"),
    _concept("class", "any", "班级 哪个班 几班"),
    _concept("author", "name", "作者 编辑 责编 记者 撰稿 撰文 通讯员 供稿 来源"),
    _concept("source", "name", "数据来源 资料来源 来源"),
    _concept("made", "time", "制表日期 制表时间 统计时间 更新时间 统计周期"),
    _concept("reads", "number", "阅读量 阅读数 阅读 浏览量"),
    _concept("unit", "any", "计量单位 单位"),
    _concept("reference", "any", "参考范围 参考区间 参考值 正常范围 正常值 参考"),
    _concept("result", "any", "检测结果 检验结果 测定结果 测定值 检测值 结果 数值"),
    _concept("reason", "reason", "失败原因 错误原因 原因 理由 错误信息 错误提示 错误描述 失败说明"),
    _concept("email", "any", "电子邮箱 电子邮件 邮箱 邮件 email"),
    _concept("version", "code", "版本号 应用版本 当前版本 软件版本 系统版本"),
    _concept("device", "any", "设备名称 设备型号 机型 设备"),
    _concept("account", "any", "登录账号 账号 用户名 账户 账户名"),
    _concept("network", "any", "网络类型 网络环境 网络状态"),
    _concept("seat", "any", "座位号 座位 席别 车厢"),
    _concept("train", "code", "车次 航班号 航班"),
    _concept("depart", "time", "出发时间 发车时间 起飞时间 几点出发 几点发车 几点开"),
)

#: other names of laboratory items; any of a line finds any other
LAB_NAMES = tuple(
    tuple(line.split())
    for line in (
        "白细胞 白血球 wbc",
        "红细胞 rbc",
        "血红蛋白 血色素 hgb hb",
        "血小板 plt",
        "中性粒细胞 neut",
        "淋巴细胞 lymph",
        "c反应蛋白 crp",
        "红细胞压积 hct",
        "谷丙转氨酶 丙氨酸氨基转移酶 alt",
        "谷草转氨酶 天门冬氨酸氨基转移酶 天冬氨酸氨基转移酶 ast",
        "谷氨酰转肽酶 谷氨酰转移酶 ggt",
        "总胆红素 tbil",
        "白蛋白 alb",
        "总蛋白 tp",
        "肌酐 cr crea",
        "尿素 尿素氮 bun urea",
        "尿酸 ua",
        "葡萄糖 血糖 空腹血糖 glu",
        "总胆固醇 胆固醇 tc chol",
        "甘油三酯 tg",
        "高密度脂蛋白 hdl",
        "低密度脂蛋白 ldl",
        "糖化血红蛋白 hba1c",
        "促甲状腺激素 tsh",
        "钾 k",
        "钠 na",
    )
)


#: the commonest family names, for telling a name in the head of a sheet
SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔"
    "钟谭陆汪范金石廖贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤褚卫倪温季"
)


PROVINCES = (
    "北京 天津 上海 重庆 河北 山西 辽宁 吉林 黑龙江 江苏 浙江 安徽 福建 江西 山东 河南 湖北 湖南 广东 海南 四川 "
    "贵州 云南 陕西 甘肃 "
    "青海 台湾 内蒙古 广西 西藏 宁夏 新疆 香港 澳门"
).split()


def plain(text: str) -> str:
    """For comparison: full-width forms folded, lower case, no blanks."""
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text)).lower()


_WORDS = sorted(((word.lower(), c.name) for c in CONCEPTS for word in c.words), key=lambda item: -len(item[0]))
FIELD_WORDS = frozenset(word for word, _ in _WORDS)
KINDS: dict[str, Kind] = {concept.name: concept.kind for concept in CONCEPTS}


@cache
def concepts(text: str) -> dict[str, str]:
    """Concepts named in a text and the word that named each; a longer word hides the shorter ones in it."""
    rest = plain(text)
    found: dict[str, str] = {}
    for word, name in _WORDS:
        if word in rest:
            found.setdefault(name, word)
            # a word of two concepts (来源) names both; blank it only for shorter words
            if not any(other == word and label not in found for other, label in _WORDS):
                rest = rest.replace(word, "\x00")
    return found
