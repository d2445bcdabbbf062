// One question to the server: its form, and the events of its answer.

const meta = (name) => document.querySelector(`meta[name="${name}"]`).content;

export const limits = {
  bytes: Number(meta("upload-bytes")) - 65536, // what the form around the pictures takes
  pictures: Number(meta("max-pictures")),
  history: Number(meta("max-history")),
};
export const csrf = meta("csrf-token");

export class Problem extends Error {}

// question: {prompt, model, pictures: [File], history}. on: {delta, reset}. Returns the full result.
export async function ask(question, signal, on) {
  const response = await send(question, signal);
  if (!response.ok) throw new Problem(await wordsOf(response));
  for await (const { event, data } of events(response.body)) {
    if (event === "done") return data;
    if (event === "error") throw new Problem(data.error.message);
    on[event]?.(data.text);
  }
  throw new Problem("连接中断了，回答没有收完。");
}

async function send({ prompt, model, pictures, history }, signal) {
  const form = new FormData();
  for (const file of pictures) form.append("image", file, file.name || "picture");
  form.append("prompt", prompt);
  form.append("model", model);
  form.append("stream", "true");
  form.append("history", JSON.stringify(history.slice(-limits.history)));
  try {
    return await fetch("/infer", { method: "POST", body: form, signal, headers: { "X-CSRF-Token": csrf } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("连不上服务器。请看看网络，或者图片是否已被移动、删除。");
  }
}

async function wordsOf(response) {
  if (response.status === 401) return "登录已过期，请刷新页面重新登录。";
  try {
    return (await response.json()).error.message;
  } catch {
    return `服务器没能回答（${response.status}），请稍后再试。`;
  }
}

// https://html.spec.whatwg.org/multipage/server-sent-events.html; EventSource itself cannot POST.
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const pieces = (rest + value).split("\n\n");
    rest = pieces.pop();
    for (const piece of pieces) {
      const found = /^event: (\w+)\ndata: (.*)$/s.exec(piece);
      if (found) yield { event: found[1], data: JSON.parse(found[2]) };
    }
  }
}
