// Pointing at a sentence or a marked number shows where the picture says so: in the picture itself, and enlarged.
const SVG = "http://www.w3.org/2000/svg";
const SENTENCE = /[^。！？!?；;\n]*[。！？!?；;\n]+["”」』）)]*|[^。！？!?；;\n]+/g;
const BLOCKS = "p, li, td, th, h3, h4, h5, h6, blockquote, pre";
const wide = matchMedia("(min-width: 72rem)");

const $ = (id) => document.getElementById(id);
const text = $("text");
const glass = $("glass");
const findings = new Map([...document.querySelectorAll(".findings li")].map(readFinding));
let pinned = "";

function readFinding(item) {
  const box = item.dataset.box?.split(",").map(Number);
  const picture = text.querySelector(`img[data-picture="${item.dataset.picture}"]`);
  const [words, place] = [item.querySelector("b").textContent, item.querySelector(".place").textContent];
  return [item.dataset.finding, { item, words, place, box, picture, number: item.dataset.picture }];
}

// Wraps the sentences that hold findings; a sentence that runs through bold words is several spans with one number.
function wrapSentences() {
  let number = 0;
  for (const block of new Set([...text.querySelectorAll("mark")].map((mark) => mark.closest(BLOCKS)))) {
    if (block) number = wrapBlock(block, number + 1);
  }
}

function wrapBlock(block, number) {
  const walker = document.createTreeWalker(block, NodeFilter.SHOW_TEXT);
  const nodes = [];
  while (walker.nextNode()) nodes.push(walker.currentNode);
  for (const node of nodes) {
    if (node.parentElement.closest(BLOCKS) !== block) continue;
    const pieces = node.data.match(SENTENCE) ?? [];
    node.replaceWith(...pieces.map((piece) => {
      const span = document.createElement("span");
      span.className = "sentence";
      span.dataset.sentence = number;
      span.textContent = piece;
      if (/[。！？!?；;\n]["”」』）)]*$/.test(piece)) number += 1;
      return span;
    }));
  }
  return number;
}

function numbersAt(target) {
  const mark = target.closest?.("[data-finding]");
  if (mark) return [mark.dataset.finding];
  const sentence = target.closest?.(".sentence");
  if (!sentence) return [];
  const spans = sentencesOf(sentence.dataset.sentence);
  return [...new Set(spans.map((span) => span.closest("mark")?.dataset.finding).filter(Boolean))];
}

function sentencesOf(number) {
  return [...text.querySelectorAll(`.sentence[data-sentence="${number}"]`)];
}

function show(numbers, target, enlarge) {
  clear();
  const shown = numbers.filter((number) => findings.has(number));
  if (!shown.length) return;
  for (const number of shown) {
    for (const mark of text.querySelectorAll(`mark[data-finding="${number}"]`)) mark.classList.add("lit");
    findings.get(number).item.classList.add("lit");
  }
  const sentence = target.closest(".sentence");
  if (sentence && !target.closest("mark")) for (const span of sentencesOf(sentence.dataset.sentence)) span.classList.add("lit");
  const found = shown.map((number) => findings.get(number));
  for (const { picture, box } of found) if (picture && box) drawOn(picture, box);
  if (enlarge) enlargeInGlass(found);
}

function clear() {
  for (const node of document.querySelectorAll(".lit")) node.classList.remove("lit");
  for (const layer of text.querySelectorAll(".frame svg")) layer.remove();
  glass.hidden = true;
}

function svg(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function rectangle([left, top, right, bottom], margin = 0) {
  return svg("rect", { class: "hit", x: left - margin, y: top - margin, width: right - left + 2 * margin, height: bottom - top + 2 * margin });
}

// The layer has the picture's own pixels as its units, so it fits however the picture is scaled.
function drawOn(picture, box) {
  const frame = picture.parentElement;
  const [width, height] = sizeOf(picture);
  let layer = frame.querySelector("svg");
  if (!layer) {
    layer = svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    frame.append(layer);
  }
  layer.append(rectangle(box, width / 250));
}

function sizeOf(picture) {
  return [Number(picture.getAttribute("width")) || picture.naturalWidth || 1, Number(picture.getAttribute("height")) || picture.naturalHeight || 1];
}

function enlargeInGlass(found) {
  const first = found.find((one) => one.box && one.picture);
  $("words").textContent = [...new Set(found.map((one) => one.words))].join("、");
  $("crop").toggleAttribute("hidden", !first);
  if (first) drawCrop(first.picture, found.filter((one) => one.picture === first.picture && one.box).map((one) => one.box));
  const missing = found.filter((one) => !one.number).map((one) => one.words);
  const places = [...new Set(found.filter((one) => one.number).map((one) => one.place))];
  if (missing.length) places.push(found.length === missing.length ? "未找到依据：图中没有读到，请核对。" : `${missing.join("、")} 未找到依据，请核对。`);
  $("where").textContent = places.join("；");
  glass.hidden = false;
}

function drawCrop(picture, boxes) {
  const [width, height] = sizeOf(picture);
  const left = Math.min(...boxes.map((box) => box[0])), right = Math.max(...boxes.map((box) => box[2]));
  const top = Math.min(...boxes.map((box) => box[1])), bottom = Math.max(...boxes.map((box) => box[3]));
  const line = Math.max(...boxes.map((box) => Math.min(box[3] - box[1], box[2] - box[0])));
  const across = Math.min(width, Math.max((right - left) * 1.3, line * 12, (bottom - top) * 1.5));
  const down = Math.min(height, Math.max((bottom - top) * 1.3, across * 0.55));
  const x = Math.min(Math.max((left + right - across) / 2, 0), width - across);
  const y = Math.min(Math.max((top + bottom - down) / 2, 0), height - down);
  const crop = $("crop");
  crop.setAttribute("viewBox", `${x} ${y} ${across} ${down}`);
  crop.replaceChildren(svg("image", { href: picture.src, width, height }), ...boxes.map((box) => rectangle(box, line / 8)));
}

function unpin() {
  pinned = "";
  clear();
}

text.addEventListener("pointerover", point);
$("evidence").addEventListener("pointerover", point);
function point(event) {
  if (event.pointerType !== "mouse" || pinned) return;
  show(numbersAt(event.target), event.target, wide.matches);
}
for (const area of [text, $("evidence")]) {
  area.addEventListener("pointerleave", () => { if (!pinned) clear(); });
  area.addEventListener("focusin", (event) => {
    const numbers = numbersAt(event.target);
    if (!numbers.length || !event.target.matches(":focus-visible")) return;
    pinned = numbers.join();
    show(numbers, event.target, true);
  });
}

// A tap or click keeps the evidence shown, a second one lets it go.
document.addEventListener("click", (event) => {
  if (glass.contains(event.target) && !event.target.closest("#close")) return;
  const numbers = text.contains(event.target) || $("evidence").contains(event.target) ? numbersAt(event.target) : [];
  if (!numbers.length || (pinned === numbers.join() && !event.target.closest(".findings"))) return unpin();
  pinned = numbers.join();
  show(numbers, event.target, true);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") unpin();
});

wrapSentences();
$("print").hidden = false;
$("print").addEventListener("click", () => print());
