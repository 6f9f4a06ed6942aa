// Microphone to 16 kHz mono blocks of 20 ms, in the audio thread. It sends nothing while muted.

const RATE = 16000;
const BLOCK = 320;
const TAPS = 16; // half width of the resampling filter, in samples of the lower rate
const ECHO_SHARE = 0.5; // while the answer sounds, what is quieter than this share of it is echo

class Capture extends AudioWorkletProcessor {
  #step = sampleRate / RATE;
  #half = Math.ceil(TAPS * Math.max(1, sampleRate / RATE));
  #input = new Float32Array(0);
  #at = 0; // next output sample's place in #input
  #block = new Float32Array(BLOCK);
  #filled = 0;
  #first = 0; // context time of the block's first sample, seconds
  #echo = 0; // loudness of the answer now, 0 when silent
  #muted = false;

  constructor() {
    super();
    this.#at = this.#half;
    this.port.onmessage = ({ data }) => {
      if (data.muted !== undefined) this.#muted = data.muted;
      if (data.echo !== undefined) this.#echo = data.echo;
    };
  }

  process(inputs) {
    const channel = inputs[0]?.[0];
    if (!channel) return true;
    const before = this.#input.length;
    const joined = new Float32Array(before + channel.length);
    joined.set(this.#input);
    joined.set(channel, before);
    while (this.#at + this.#half < joined.length) {
      const age = (before + channel.length - this.#at) / sampleRate;
      this.#push(this.#step === 1 ? joined[Math.round(this.#at)] : this.#filtered(joined), currentTime - age);
      this.#at += this.#step;
    }
    const gone = Math.max(0, Math.floor(this.#at) - this.#half);
    this.#input = joined.slice(gone);
    this.#at -= gone;
    return true;
  }

  // A windowed sinc at the lower of both rates' Nyquist frequencies.
  #filtered(input) {
    const cut = Math.min(1, RATE / sampleRate);
    const centre = Math.floor(this.#at);
    let sum = 0;
    let weight = 0;
    for (let i = centre - this.#half + 1; i <= centre + this.#half; i++) {
      const x = i - this.#at;
      const window = 0.5 + 0.5 * Math.cos((Math.PI * x) / (this.#half + 1));
      const sinc = x === 0 ? cut : Math.sin(Math.PI * cut * x) / (Math.PI * x);
      sum += (input[i] ?? 0) * sinc * window;
      weight += sinc * window;
    }
    return sum / weight;
  }

  #push(sample, time) {
    if (this.#filled === 0) this.#first = time;
    this.#block[this.#filled++] = sample;
    if (this.#filled < BLOCK) return;
    let power = 0;
    for (const value of this.#block) power += value * value;
    const level = Math.sqrt(power / BLOCK);
    const samples = this.#block.slice();
    if (this.#muted || level < this.#echo * ECHO_SHARE) samples.fill(0);
    this.port.postMessage({ samples, time: this.#first, level: this.#muted ? 0 : level }, [samples.buffer]);
    this.#filled = 0;
  }
}

registerProcessor("capture", Capture);
