// A question and its answer on the page.
import { element, renderMarkdown } from "./markdown.js";
import { thumbnail } from "./tray.js";

// Makes a change; a reader who was at the end of the page stays there, one who has scrolled up is left alone.
export function keepingEnd(change, slack = 80) {
  const page = document.documentElement;
  const atEnd = innerHeight + scrollY > page.scrollHeight - slack;
  change();
  if (atEnd) scrollTo(0, page.scrollHeight);
}

export class Turn {
  // showPictures: false where the turn before had the same ones.
  constructor({ prompt, pictures, model }, showPictures) {
    Object.assign(this, { prompt, pictures, model, text: "", answered: false });
    this.answer = element("div", "answer");
    this.answer.ariaLive = "polite";
    this.answer.ariaBusy = "true";
    this.waiting = element("p", "waiting", pictures.length ? "正在看图…" : "正在想…");
    this.body = element("div", "", this.waiting, this.answer);
    this.node = element("li", "turn", this.question(showPictures), this.body);
    this.started = Date.now();
    this.timer = setInterval(() => this.tick(), 1000);
    this.frame = 0;
  }

  question(showPictures) {
    const node = element("div", "question");
    if (showPictures && this.pictures.length) {
      const items = this.pictures.map((picture, index) => element("li", "", thumbnail(picture, index + 1)));
      node.append(element("ul", "", ...items));
    }
    node.append(this.prompt ? element("p", "", this.prompt) : element("p", "unsaid", "（没有写问题）"));
    return node;
  }

  tick() {
    const seconds = Math.round((Date.now() - this.started) / 1000);
    this.waiting.textContent = `${this.pictures.length ? "正在看图" : "正在想"}… ${seconds} 秒`;
  }

  grow(text) {
    this.write(this.text + text);
  }

  // Drawn once a frame at most: a long answer comes in thousands of pieces.
  write(text) {
    this.text = text;
    this.frame ||= requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.frame = 0;
    keepingEnd(() => {
      this.waiting.hidden = Boolean(this.text);
      this.answer.replaceChildren(renderMarkdown(this.text));
    });
  }

  finish(result) {
    this.text = result.text;
    this.answered = true;
    this.end();
    const seconds = result.timings.total ? `${result.timings.total.toFixed(1)} 秒` : "";
    this.note([result.model, result.reason, seconds], result.footer);
  }

  stopped() {
    this.answered = Boolean(this.text);
    this.end();
    this.note(["已停止"]);
  }

  failed(words, retry) {
    this.end();
    const again = element("button", "", "重试");
    again.type = "button";
    again.addEventListener("click", retry);
    const notice = element("div", "notice", element("span", "", words), again);
    notice.role = "alert";
    keepingEnd(() => this.body.append(notice));
  }

  end() {
    clearInterval(this.timer);
    cancelAnimationFrame(this.frame);
    this.draw();
    this.waiting.hidden = true;
    this.answer.ariaBusy = "false";
  }

  note(words, footer = "") {
    const meta = element("div", "meta", ...words.filter(Boolean).map((word) => element("span", "", word)));
    if (this.text) meta.append(this.copyButton());
    keepingEnd(() => this.body.append(...(footer ? [element("p", "footnote", footer)] : []), meta));
  }

  copyButton() {
    const button = element("button", "", "复制");
    button.type = "button";
    button.addEventListener("click", async () => {
      button.textContent = (await copy(this.text)) ? "已复制" : "没能复制";
      setTimeout(() => { button.textContent = "复制"; }, 2000);
    });
    return button;
  }
}

// The clipboard's own interface is missing where the page came by plain http from another machine.
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = element("textarea", "unseen", text);
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
