// The timeline of memory: a thumbnail for each clip; the ones an answer used are lit.

import { say } from "./words.js";

const SHOWN = 200; // newest clips on the page; older ones stay in memory, not here

export class Memory {
  #clips = new Map();

  constructor(list, count, dialog, link) {
    Object.assign(this, { list, count, dialog, link });
  }

  /** Another session remembers nothing of the one before. */
  reset() {
    this.#clips.clear();
    this.list.replaceChildren();
    this.#counted();
  }

  take(event) {
    if (event.type === "frame_encoded") this.#frame(event);
    else if (event.type === "clip_closed") this.#closed(event);
    else if (event.type === "evidence_chosen") this.#lit(event);
  }

  #frame({ clip, keyframe, pts_us }) {
    const item = this.#item(clip, pts_us);
    item.frames.push(keyframe);
    if (item.frames.length === 1) this.#picture(keyframe, item.image);
  }

  #closed({ clip, start_us, end_us }) {
    const item = this.#item(clip, start_us);
    item.when = `${clock(start_us)}–${clock(end_us)}`;
    item.label.textContent = item.when;
    this.#counted();
  }

  #lit({ clips, frames }) {
    const shown = new Set(frames);
    let first = null;
    for (const [clip, item] of this.#clips) {
      const lit = clips.includes(clip) || item.frames.some((f) => shown.has(f));
      item.root.classList.toggle("lit", lit);
      item.button.title = lit ? say("used for the newest answer") : "";
      if (lit) first ??= item.root;
    }
    if (first) this.list.scrollTo({ left: first.offsetLeft - this.list.offsetLeft });
  }

  #item(clip, startUs) {
    const found = this.#clips.get(clip);
    if (found) return found;
    const root = document.createElement("li");
    const button = document.createElement("button");
    const image = document.createElement("img");
    image.alt = "";
    const label = document.createElement("span");
    label.textContent = `${clock(startUs)}–`;
    button.append(image, label);
    root.append(button);
    const atEnd = this.list.scrollLeft + this.list.clientWidth >= this.list.scrollWidth - 8;
    this.list.append(root);
    if (atEnd) this.list.scrollLeft = this.list.scrollWidth;
    const item = { root, button, image, label, frames: [], when: label.textContent };
    button.onclick = () => this.#show(item);
    this.#clips.set(clip, item);
    if (this.#clips.size > SHOWN) {
      const [oldest, gone] = this.#clips.entries().next().value;
      gone.root.remove();
      this.#clips.delete(oldest);
    }
    this.#counted();
    return item;
  }

  #counted() {
    const count = this.#clips.size;
    this.count.textContent = count ? `${count} ${say(count === 1 ? "clip" : "clips")}` : "";
  }

  async #picture(keyframe, image) {
    const response = await fetch(`v1/sessions/${this.link.session}/keyframes/${keyframe}`, { headers: this.link.headers });
    if (!response.ok) return; // by age or quota it may be gone from disk
    const url = URL.createObjectURL(await response.blob());
    image.onload = () => URL.revokeObjectURL(url);
    image.src = url;
  }

  #show(item) {
    this.dialog.querySelector("#clip-title").textContent = item.when;
    const images = item.frames.map((keyframe) => {
      const image = document.createElement("img");
      image.alt = keyframe;
      this.#picture(keyframe, image);
      return image;
    });
    this.dialog.querySelector("#clip-frames").replaceChildren(...images);
    this.dialog.showModal();
  }
}

function clock(us) {
  const s = Math.floor(us / 1e6);
  return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
}
