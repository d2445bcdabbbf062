// Markdown to DOM nodes, for what models write: headings, lists, tables, quotes, code, bold, [图1].
// Every text becomes a text node; there is no way from a model's words to an element, link or address.

const FENCE = /^ {0,3}(```+|~~~+)/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$/;
const RULE = /^ {0,3}([-*_])( *\1){2,}\s*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^(\s*)([-*+•]|\d{1,9}[.)、])\s+(.*)$/;
const DIVIDER = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;
const INLINE = /(`+)(.+?)\1(?!`)|\*\*(?=\S)(.+?)\*\*|(?<![\w*])\*(?=[^\s*])([^*\n]+?)\*(?![\w*])|~~(?=\S)(.+?)~~|\[图(\d{1,3})\]/gs;
const DEEPEST = 8;

export function element(tag, className = "", ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

export function renderMarkdown(text) {
  const fragment = document.createDocumentFragment();
  fragment.append(...blocks(text.replaceAll("\r\n", "\n").split("\n"), 0));
  return fragment;
}

function blocks(lines, depth) {
  const nodes = [];
  let at = 0;
  while (at < lines.length) {
    if (!lines[at].trim()) {
      at += 1;
      continue;
    }
    const [node, next] = block(lines, at, depth);
    nodes.push(node);
    at = next;
  }
  return nodes;
}

function block(lines, at, depth) {
  const line = lines[at];
  if (FENCE.test(line)) return fence(lines, at);
  const heading = HEADING.exec(line);
  if (heading) return [element(`h${Math.min(6, heading[1].length + 2)}`, "", ...inline(heading[2])), at + 1];
  if (RULE.test(line)) return [element("hr"), at + 1];
  if (isTable(lines, at)) return table(lines, at);
  if (QUOTE.test(line) && depth < DEEPEST) return quote(lines, at, depth);
  if (ITEM.test(line) && depth < DEEPEST) return list(lines, at, depth);
  return paragraph(lines, at);
}

function fence(lines, at) {
  const mark = FENCE.exec(lines[at])[1];
  let end = at + 1;
  while (end < lines.length && !lines[end].trimStart().startsWith(mark)) end += 1;
  return [element("pre", "", element("code", "", lines.slice(at + 1, end).join("\n"))), end + 1];
}

function quote(lines, at, depth) {
  let end = at;
  while (end < lines.length && QUOTE.test(lines[end])) end += 1;
  const inner = lines.slice(at, end).map((line) => line.replace(QUOTE, ""));
  return [element("blockquote", "", ...blocks(inner, depth + 1)), end];
}

function paragraph(lines, at) {
  let end = at + 1;
  while (end < lines.length && lines[end].trim() && !startsBlock(lines, end)) end += 1;
  return [element("p", "", ...inline(lines.slice(at, end).join("\n").trim())), end];
}

function startsBlock(lines, at) {
  return [FENCE, HEADING, RULE, QUOTE, ITEM].some((pattern) => pattern.test(lines[at])) || isTable(lines, at);
}

// A list runs on over its indented lines; a list of the other kind, or a line at the margin, ends it.
function list(lines, at, depth) {
  const [, indent, mark] = ITEM.exec(lines[at]);
  const ordered = /\d/.test(mark);
  const node = element(ordered ? "ol" : "ul");
  if (ordered && parseInt(mark, 10) !== 1) node.start = parseInt(mark, 10);
  while (at < lines.length) {
    const item = ITEM.exec(lines[at]);
    if (!item || item[1].length !== indent.length || /\d/.test(item[2]) !== ordered || RULE.test(lines[at])) break;
    const end = itemEnd(lines, at, indent.length);
    node.append(listItem(item[3], lines.slice(at + 1, end), depth));
    at = skipBlank(lines, end);
  }
  return [node, at];
}

// Deeper lines belong to the item, blank ones between them too, and text right below it that begins nothing new.
function itemEnd(lines, at, indent) {
  let end = at + 1;
  for (;;) {
    const next = skipBlank(lines, end);
    if (next === lines.length) return end;
    const lazy = next === end && !startsBlock(lines, end);
    if (indentOf(lines[next]) <= indent && !lazy) return end;
    end = next + 1;
  }
}

function listItem(first, rest, depth) {
  const item = element("li", "", ...inline(first));
  const margin = Math.min(...rest.filter((line) => line.trim()).map(indentOf), 99);
  item.append(...blocks(rest.map((line) => line.slice(margin)), depth + 1));
  return item;
}

function indentOf(line) {
  return line.length - line.trimStart().length;
}

function skipBlank(lines, at) {
  while (at < lines.length && !lines[at].trim()) at += 1;
  return at;
}

function isTable(lines, at) {
  return lines[at].includes("|") && at + 1 < lines.length && lines[at + 1].includes("-") && DIVIDER.test(lines[at + 1])
    && cells(lines[at]).length === cells(lines[at + 1]).length;
}

function table(lines, at) {
  const sides = cells(lines[at + 1]).map((cell) => (cell.endsWith(":") ? (cell.startsWith(":") ? "centre" : "right") : ""));
  const row = (line, tag) => element("tr", "", ...cells(line).map((cell, index) => element(tag, sides[index], ...inline(cell))));
  const head = element("thead", "", row(lines[at], "th"));
  const body = element("tbody");
  let end = at + 2;
  while (end < lines.length && lines[end].includes("|")) {
    body.append(row(lines[end], "td"));
    end += 1;
  }
  return [element("div", "table", element("table", "", head, body)), end];
}

function cells(line) {
  const bare = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  return bare.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|").replace(/<br\s*\/?>/gi, "\n"));
}

function inline(text, depth = 0) {
  const nodes = [];
  let shown = 0;
  for (const match of depth > DEEPEST ? [] : text.matchAll(INLINE)) {
    if (match.index > shown) nodes.push(text.slice(shown, match.index));
    nodes.push(span(match, depth + 1));
    shown = match.index + match[0].length;
  }
  if (shown < text.length) nodes.push(text.slice(shown));
  return nodes;
}

function span([, , code, bold, italic, struck, figure], depth) {
  if (code !== undefined) return element("code", "", code);
  if (bold !== undefined) return element("strong", "", ...inline(bold, depth));
  if (italic !== undefined) return element("em", "", ...inline(italic, depth));
  if (struck !== undefined) return element("s", "", ...inline(struck, depth));
  const button = element("button", "figure", `图${figure}`);
  button.type = "button";
  button.dataset.figure = figure;
  return button;
}
