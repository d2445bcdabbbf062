// The pictures of the next question: chosen, dropped or pasted; numbered in their order.
import { element } from "./markdown.js";
import { limits } from "./ask.js";

const megabytes = (bytes) => `${(bytes / 1048576).toFixed(1)} MB`;

// A picture is {file, url}; its URL lives as long as a turn may show it.
export class Tray {
  constructor(list, notice, changed) {
    this.list = list;
    this.notice = notice;
    this.changed = changed;
    this.pictures = [];
  }

  add(files) {
    const refused = [];
    for (const file of files) {
      const reason = this.refusal(file);
      if (reason) refused.push(reason);
      else this.pictures.push({ file, url: URL.createObjectURL(file) });
    }
    this.tell([...new Set(refused)].join("\n"));
    this.show();
  }

  refusal(file) {
    const name = file.name || "这张图片";
    if (file.type && !file.type.startsWith("image/")) return `“${name}”不是图片。`;
    if (!file.size) return `“${name}”是空的。`;
    if (file.size > limits.bytes) return `“${name}”有 ${megabytes(file.size)}，超过了 ${megabytes(limits.bytes)}，请压缩后再发。`;
    if (this.pictures.length >= limits.pictures) return `一次最多 ${limits.pictures} 张图片。`;
    const total = this.pictures.reduce((sum, picture) => sum + picture.file.size, file.size);
    return total > limits.bytes ? `图片加起来超过了 ${megabytes(limits.bytes)}，没有加入“${name}”。` : "";
  }

  tell(words) {
    this.notice.textContent = words;
    this.notice.hidden = !words;
  }

  remove(picture) {
    const index = this.pictures.indexOf(picture);
    this.pictures.splice(index, 1);
    this.tell("");
    this.show();
    const buttons = this.list.querySelectorAll(".remove");
    (buttons[Math.min(index, buttons.length - 1)] ?? document.querySelector("#pick")).focus();
  }

  clear() {
    this.pictures = [];
    this.tell("");
    this.show();
  }

  show() {
    this.list.hidden = !this.pictures.length;
    this.list.replaceChildren(...this.pictures.map((picture, index) => this.item(picture, index + 1)));
    this.changed();
  }

  item(picture, number) {
    const remove = element("button", "remove", "×");
    remove.type = "button";
    remove.ariaLabel = remove.title = `移除图${number}`;
    remove.addEventListener("click", () => this.remove(picture));
    return element("li", "", thumbnail(picture, number), remove);
  }
}

export function thumbnail({ file, url }, number) {
  const image = element("img");
  image.src = url;
  image.alt = "";
  const button = element("button", "thumb", image, element("b", "", `图${number}`));
  image.addEventListener("error", () => {
    image.remove();
    button.classList.add("plain");
  });
  button.type = "button";
  button.ariaLabel = `查看图${number}${file.name ? `：${file.name}` : ""}`;
  button.dataset.figure = number;
  return button;
}
