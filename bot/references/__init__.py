"""Which pictures a question means.

Pure: the text, the pictures around it and what the conversation has; pictures or a question back out.

The text says → meant:

图3, 图三, 图1和图3, 图1到图3, 图1、2
    these numbers of the conversation, always. 图1-3 is a range where 1 < 3 and both exist, else it is a figure of
    some document (图3-2), as are 附图1, 如图9 where there is no 图9, and 这页里的图1.
第二张, 第1、3张, 前两张, 首张
    counted in the burst where it has several pictures and is at hand (`Scene.counted`); else, and where the burst
    is too short, numbers of the conversation. 第三张发票 is the same, but what does not exist is content; 第二张表
    is a picture only in a burst. P2 and 2号图 are the same, but ask nothing.
最后一张, 倒数第二张, 后两张, 上面两张
    counted back from the newest picture, those sent along included.
上一张, 上上张, 之前两张
    counted back from this message, those sent along left out.
刚才那张, 前面那张, 上图, 刚发的那张
    the one last talked about (sent: the last one sent). Right after a picture, without comparing: that picture.
之前那张
    the one before what is talked about.
另一张, 其余两张
    the burst, else the conversation, without what is talked about.
这两张, 三张截图
    as many as were sent along, talked about or sent last, else the last so many. Another count is content.
哪张, 每张, 这些图
    the several pictures at hand: sent along, else talked about, else the burst, else all.
所有图片, 全部图
    all of them.
这张, 那张
    quoted or sent along, else talked about, if that is one. 那张发票 goes by the descriptions first; 红色的那张 is
    left to the model, which gets all at hand.
nothing of these
    quoted and sent along; else what was talked about (focus); else the latest burst.
谢谢, 你好, 讲个笑话
    none, unless pictures come along.

Pictures sent along stay meant beside others that the text names; naming only some of them means those. Quoted ones
stay meant where the text joins them to what it names (和图1比), as does what is talked about.
不是图1，是图2 and 除了图1 leave pictures out.
Where several could be meant or the number does not exist, the user is asked.
"""

from bot.references.meaning import Reference, names_pictures, resolve
from bot.references.scene import Known

__all__ = ["Known", "Reference", "names_pictures", "resolve"]
