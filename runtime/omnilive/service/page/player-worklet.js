// Plays answers, in the audio thread: one queue, cut within one quantum, and it says how far it is.

const REPORT_EVERY = 0.1; // seconds

class Player extends AudioWorkletProcessor {
  #queue = []; // {samples, at} of the one generation that sounds
  #generation = -1;
  #played = 0;
  #last = false;
  #reported = 0;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => {
      if (data.type === "chunk") this.#add(data);
      else if (data.type === "cut") this.#cut(data.generation ?? this.#generation);
      else this.#reset();
    };
  }

  #add({ generation, firstSample, samples, last }) {
    if (generation < this.#generation) return; // stale
    if (generation > this.#generation) {
      this.#generation = generation;
      this.#queue = [];
      this.#played = firstSample;
      this.#last = false;
    }
    if (samples.length) this.#queue.push({ samples, at: 0 });
    this.#last ||= last;
  }

  // Generations up to this one are not to be heard any more.
  #cut(generation) {
    if (generation < this.#generation) return;
    const was = this.#queue.length > 0 || !this.#last;
    this.#queue = [];
    if (was && this.#generation >= 0) this.#report(true, 0);
    this.#generation = Math.max(this.#generation, generation + 1);
    this.#played = 0;
    this.#last = true;
  }

  // Another session: its generations count from the beginning.
  #reset() {
    this.#queue = [];
    this.#generation = -1;
    this.#played = 0;
    this.#last = false;
  }

  process(_, outputs) {
    const out = outputs[0][0];
    let filled = 0;
    let power = 0;
    while (filled < out.length && this.#queue.length) {
      const head = this.#queue[0];
      const part = head.samples.subarray(head.at, head.at + out.length - filled);
      out.set(part, filled);
      for (const value of part) power += value * value;
      filled += part.length;
      head.at += part.length;
      if (head.at === head.samples.length) this.#queue.shift();
    }
    this.#played += filled;
    if (filled) {
      const ended = this.#last && this.#queue.length === 0;
      if (ended || currentTime - this.#reported >= REPORT_EVERY) {
        this.#report(ended, Math.sqrt(power / out.length));
      }
    }
    return true;
  }

  #report(final, level) {
    this.#reported = currentTime;
    this.port.postMessage({ generation: this.#generation, samples: this.#played, final, level });
  }
}

registerProcessor("player", Player);
