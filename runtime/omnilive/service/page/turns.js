// The transcript: one item for each utterance, filled in as its events arrive. It sends nothing.

import { say } from "./words.js";

const STAGES = [["hear", "heard"], ["think", "thought"], ["speak", "began to speak"]];
const WHY = {
  filler: "asks for nothing", no_words: "no words", too_long: "too long",
  superseded: "something else was said",
};

export class Turns {
  #items = new Map();

  constructor(list) {
    this.list = list;
  }

  /** Another session counts its utterances anew: what was said stays to be read. */
  reset() {
    this.#items.clear();
  }

  /** Take one event of the session (docs/protocol.md). */
  take(event) {
    const item = event.utterance === undefined ? null : this.#item(event);
    const act = this[`_${event.type}`];
    if (act && item) act.call(this, item, event);
  }

  _speech_ended(item, event) {
    item.times.ended = event.at_us;
    item.asked.textContent = "…";
  }

  _transcribed(item, event) {
    item.times.ended ??= event.at_us;
    item.times.heard = event.at_us;
    item.asked.textContent = event.text || say("(nothing understood)");
    item.root.lang = event.language;
  }

  _unanswered(item, event) {
    item.root.classList.add("unanswered");
    item.note.textContent = `${say("not answered")}: ${say(WHY[event.reason] ?? event.reason)}`;
    this.#follow();
  }

  _token_decoded(item, event) {
    item.times.thought ??= event.at_us;
    item.tokens.length = event.index; // of an answer that goes on some are decoded anew
    item.tokens.push(event.text);
    item.answer.textContent = item.tokens.join("");
    this.#follow();
  }

  _sentence_spoken(item, event) {
    if (item.times.spoke !== undefined) return;
    item.times.spoke = event.start_us;
    this.#latency(item);
  }

  _answer_interrupted(item) {
    item.note.textContent = say("interrupted");
  }

  _answer_resumed(item, event) {
    item.tokens.length = event.spoken_tokens;
    item.note.textContent = say("goes on");
  }

  _answer_cancelled(item, event) {
    const spoken = event.spoken ?? "";
    const unsaid = document.createElement("span");
    unsaid.className = "unsaid";
    unsaid.textContent = event.text.startsWith(spoken) ? event.text.slice(spoken.length) : "";
    item.answer.replaceChildren(unsaid.textContent ? spoken : event.text, unsaid);
    item.stopped = true;
    item.note.textContent = say("stopped");
  }

  _answer_finished(item, event) {
    item.answer.textContent = event.text;
    if (!item.stopped) item.note.textContent = "";
  }

  #item(event) {
    const found = this.#items.get(event.utterance);
    if (found) return found;
    if (!["speech_ended", "transcribed"].includes(event.type)) return null;
    const root = document.createElement("li");
    const [asked, answer, note, figures] = ["asked", "answer", "note", "figures"].map((name) => {
      const p = document.createElement("p");
      p.className = name;
      return p;
    });
    const bar = document.createElement("div");
    bar.className = "latency";
    bar.hidden = true;
    root.append(asked, answer, bar, figures, note);
    this.list.append(root);
    const item = { root, asked, answer, note, bar, figures, stopped: false, tokens: [], times: {} };
    this.#items.set(event.utterance, item);
    this.#follow();
    return item;
  }

  /** From the end of speech to the first sound, by stage. */
  #latency(item) {
    const { ended, heard, thought, spoke } = item.times;
    const spans = [heard - ended, thought - heard, spoke - thought].map((us) => Math.max(0, us || 0));
    const total = spans.reduce((sum, us) => sum + us, 0);
    if (!total) return;
    item.bar.replaceChildren(...spans.map((us, i) => {
      const part = document.createElement("i");
      part.className = STAGES[i][0];
      part.style.flexGrow = us;
      return part;
    }));
    item.bar.hidden = false;
    item.bar.setAttribute("aria-hidden", "true"); // the figures below say it
    const parts = spans.map((us, i) => {
      const part = document.createElement("span");
      const dot = document.createElement("i");
      dot.className = STAGES[i][0];
      part.append(dot, `${say(STAGES[i][1])} ${Math.round(us / 1000)} ms`);
      return part;
    });
    item.figures.replaceChildren(
      `${(total / 1e6).toFixed(2)} s`, ...parts.flatMap((part) => [" ", part]),
    );
    this.#follow();
  }

  /** Keep the newest in sight, without moving the page. */
  #follow() {
    this.list.scrollTop = this.list.scrollHeight;
  }
}
