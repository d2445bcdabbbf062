// The page: what the controls do, and the conversation so far.
import { ask, csrf, Problem } from "./ask.js";
import { Tray } from "./tray.js";
import { keepingEnd, Turn } from "./turn.js";

const $ = (id) => document.getElementById(id);
// What history says for a question that was only pictures.
const UNSAID = "请说明图片内容，并列出其中的文字。";

let turns = [];
let running = null; // AbortController of the question being answered
let dragDepth = 0;

const tray = new Tray($("tray"), $("notice"), update);

function update() {
  const busy = running !== null;
  $("send").hidden = busy;
  $("stop").hidden = !busy;
  $("send").disabled = !$("prompt").value.trim() && !tray.pictures.length;
  $("welcome").hidden = turns.length > 0;
  $("invite").hidden = tray.pictures.length > 0;
  $("fresh").hidden = !turns.length && !tray.pictures.length;
}

function fitPrompt() {
  const prompt = $("prompt");
  prompt.style.height = "auto";
  prompt.style.height = `${prompt.scrollHeight}px`;
  update();
}

function history() {
  return turns.filter((turn) => turn.answered).flatMap((turn) => [
    { role: "user", text: turn.prompt || UNSAID },
    { role: "assistant", text: turn.text },
  ]);
}

function submit() {
  const prompt = $("prompt").value.trim();
  if (running || (!prompt && !tray.pictures.length)) return;
  $("prompt").value = "";
  tray.tell("");
  fitPrompt();
  const model = document.querySelector("input[name=model]:checked").value;
  answer({ prompt, pictures: [...tray.pictures], model });
}

async function answer(question) {
  const shown = turns.at(-1)?.pictures ?? [];
  const same = shown.length === question.pictures.length && shown.every((one, index) => one === question.pictures[index]);
  const said = history();
  const turn = new Turn(question, !same);
  const abort = new AbortController();
  running = abort;
  turns.push(turn);
  $("turns").append(turn.node);
  update();
  scrollTo(0, document.documentElement.scrollHeight);
  $("status").textContent = "正在回答";
  const files = question.pictures.map((picture) => picture.file);
  try {
    const handlers = { delta: (text) => turn.grow(text), reset: (text) => turn.write(text) };
    turn.finish(await ask({ ...question, pictures: files, history: said }, abort.signal, handlers));
    $("status").textContent = "回答完了";
  } catch (error) {
    end(turn, question, error, abort.signal);
  }
  if (running === abort) running = null;
  update();
}

function end(turn, question, error, signal) {
  if (signal.aborted) {
    turn.stopped();
    $("status").textContent = "已停止";
    return;
  }
  if (!(error instanceof Problem)) console.error(error);
  turn.failed(error instanceof Problem ? error.message : "页面出错了，请重试。", () => {
    if (running) return;
    turns = turns.filter((other) => other !== turn);
    turn.node.remove();
    answer(question);
  });
  $("status").textContent = "";
}

function fresh() {
  running?.abort();
  for (const picture of new Set([...tray.pictures, ...turns.flatMap((turn) => turn.pictures)])) URL.revokeObjectURL(picture.url);
  turns = [];
  $("turns").replaceChildren();
  tray.clear();
  $("prompt").focus();
}

function view(picture, number) {
  $("viewed").src = picture.url;
  $("viewed").alt = `图${number}`;
  $("caption").textContent = [`图${number}`, picture.file.name].filter(Boolean).join(" · ");
  $("viewer").showModal();
}

// Thumbnails and the [图1] of an answer open the picture of their own turn, others that of the tray.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-figure]");
  if (!button) return;
  const turn = turns.find((one) => one.node.contains(button));
  const number = Number(button.dataset.figure);
  const picture = (turn ? turn.pictures : tray.pictures)[number - 1];
  if (picture) view(picture, number);
});
$("viewer").addEventListener("click", (event) => {
  if (event.target.tagName !== "BUTTON" && event.target.id !== "viewed") $("viewer").close();
});

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
$("prompt").addEventListener("input", fitPrompt);
$("prompt").addEventListener("keydown", (event) => {
  // The Enter that picks a word in a Chinese input method sends nothing (229: Safari).
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  submit();
});
$("stop").addEventListener("click", () => {
  running?.abort();
  $("prompt").focus();
});
$("fresh").addEventListener("click", fresh);
for (const id of ["pick", "invite"]) $(id).addEventListener("click", () => $("files").click());
$("files").addEventListener("change", () => {
  tray.add($("files").files);
  $("files").value = "";
  $("prompt").focus();
});
document.querySelector(".examples").addEventListener("click", (event) => {
  if (event.target.tagName !== "BUTTON") return;
  $("prompt").value = event.target.textContent;
  fitPrompt();
  $("prompt").focus();
});

document.addEventListener("paste", (event) => {
  if (!event.clipboardData?.files.length) return;
  event.preventDefault();
  tray.add(event.clipboardData.files);
});
const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
document.addEventListener("dragenter", (event) => {
  if (!carriesFiles(event)) return;
  dragDepth += 1;
  $("drop").hidden = false;
});
document.addEventListener("dragleave", (event) => {
  if (!carriesFiles(event)) return;
  dragDepth = Math.max(0, dragDepth - 1);
  $("drop").hidden = dragDepth === 0;
});
document.addEventListener("dragover", (event) => {
  if (carriesFiles(event)) event.preventDefault();
});
document.addEventListener("drop", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  dragDepth = 0;
  $("drop").hidden = true;
  tray.add(event.dataTransfer.files);
});

// The dock covers the end of the page as it grows; whoever was reading there goes on seeing it.
let dockHeight = 0;
new ResizeObserver(([entry]) => {
  const grown = entry.target.offsetHeight - dockHeight;
  dockHeight = entry.target.offsetHeight;
  if (turns.length) keepingEnd(() => {}, 80 + Math.max(0, grown));
}).observe(document.querySelector(".dock"));

if (csrf) {
  $("logout").hidden = false;
  $("logout").addEventListener("click", async () => {
    await fetch("/logout", { method: "POST", headers: { "X-CSRF-Token": csrf } });
    location.assign("/");
  });
}
fitPrompt();
