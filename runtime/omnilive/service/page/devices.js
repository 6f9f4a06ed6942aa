// Camera, microphone and loudspeaker of this page. All media leaves stamped with one clock.

const RATE = 16000;
const FRAME_MS = 1000;
const LONGEST_SIDE = 1280;
const JPEG_QUALITY = 0.8;

/** Capture; tells `sound(ptsUs, samples, level)` and `picture(ptsUs, blob)`. */
export class Capture {
  #context = null;
  #node = null;
  #stream = null;
  #timer = 0;
  #canvas = document.createElement("canvas");

  constructor(video, { sound, picture }) {
    this.video = video;
    this.sound = sound;
    this.picture = picture;
  }

  async start(cameraId, microphoneId) {
    this.stop();
    const exact = (id) => (id ? { deviceId: { exact: id } } : {});
    this.#stream = await navigator.mediaDevices.getUserMedia({
      video: { width: { ideal: 1280 }, facingMode: "environment", ...exact(cameraId) },
      audio: {
        channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true,
        ...exact(microphoneId),
      },
    });
    this.video.srcObject = this.#stream;
    this.video.classList.add("on");
    await this.#listen();
    this.#timer = setInterval(() => this.#look(), FRAME_MS);
  }

  stop() {
    clearInterval(this.#timer);
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#context?.close();
    this.#stream = this.#context = this.#node = null;
    this.video.srcObject = null;
    this.video.classList.remove("on");
  }

  mute(muted) {
    this.#node?.port.postMessage({ muted });
  }

  /** How loud the answer sounds now: quieter sound in the microphone is taken for its echo. */
  echo(level) {
    this.#node?.port.postMessage({ echo: level });
  }

  async #listen() {
    try {
      this.#context = new AudioContext({ sampleRate: RATE });
      this.#connect(await this.#makeNode());
    } catch { // some browsers want the device's own rate; the worklet resamples
      await this.#context?.close();
      this.#context = new AudioContext();
      this.#connect(await this.#makeNode());
    }
  }

  async #makeNode() {
    await this.#context.audioWorklet.addModule("page/capture-worklet.js");
    return new AudioWorkletNode(this.#context, "capture", { numberOfOutputs: 0 });
  }

  #connect(node) {
    this.#context.createMediaStreamSource(this.#stream).connect(node);
    this.#node = node;
    const context = this.#context;
    node.port.onmessage = ({ data }) => {
      // From the audio clock to the page's: what the pictures are stamped with.
      const nowMs = performance.now() - (context.currentTime - data.time) * 1000;
      this.sound(nowMs * 1000, data.samples, data.level);
    };
  }

  async #look() {
    const { videoWidth: width, videoHeight: height } = this.video;
    if (!width) return;
    const ptsUs = performance.now() * 1000;
    const scale = Math.min(1, LONGEST_SIDE / Math.max(width, height));
    this.#canvas.width = Math.round(width * scale);
    this.#canvas.height = Math.round(height * scale);
    this.#canvas.getContext("2d").drawImage(this.video, 0, 0, this.#canvas.width, this.#canvas.height);
    const blob = await new Promise((done) => this.#canvas.toBlob(done, "image/jpeg", JPEG_QUALITY));
    if (blob) this.picture(ptsUs, await blob.arrayBuffer());
  }
}

/** The loudspeaker; tells `played({generation, samples, final, level})`. */
export class Speaker {
  #context = null;
  #node = null;
  #gain = null;
  #volume = 1;

  constructor(played) {
    this.played = played;
  }

  /** Must follow something the user did: browsers let no page sound before. */
  async start() {
    if (this.#context) return this.#context.resume();
    this.#context = new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
    await this.#context.audioWorklet.addModule("page/player-worklet.js");
    this.#node = new AudioWorkletNode(this.#context, "player", { outputChannelCount: [1] });
    this.#gain = new GainNode(this.#context, { gain: this.#volume });
    this.#node.connect(this.#gain).connect(this.#context.destination);
    this.#node.port.onmessage = ({ data }) => this.played(data);
  }

  play(chunk) {
    this.#node?.port.postMessage({ type: "chunk", ...chunk }, [chunk.samples.buffer]);
  }

  /** Silence everything up to a generation, or what sounds now, within one audio quantum. */
  cut(generation) {
    this.#node?.port.postMessage({ type: "cut", generation });
  }

  /** Forget the session that was heard: the next one counts its generations anew. */
  reset() {
    this.#node?.port.postMessage({ type: "reset" });
  }

  set volume(value) {
    this.#volume = value;
    if (this.#gain) this.#gain.gain.value = value;
  }
}

/** Devices of a kind ("videoinput", "audioinput"), as far as the browser names them. */
export async function devices(kind) {
  const all = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  return all.filter((device) => device.kind === kind && device.deviceId);
}

