// The connection to the service: it opens, greets, resumes and reopens by itself.

import { encodeMedia } from "./wire.js";

const PROTOCOL = 1;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15000;
const WAITING_BYTES = 1 << 20; // beyond this, pictures are left out; sound never is
const KEPT = "omnilive-session";
const KEPT_TOKEN = "omnilive-token";

export class Link extends EventTarget {
  #socket = null;
  #resume = sessionStorage.getItem(KEPT) ?? "";
  #after = 0;
  #sequence = { pcm: 0, picture: 0 };
  #attempt = 0;
  #timer = 0;
  #wanted = false;
  token = sessionStorage.getItem(KEPT_TOKEN) ?? "";
  session = "";

  /** Open now, and again whenever the connection breaks, until `close`. */
  open() {
    this.#wanted = true;
    clearTimeout(this.#timer);
    if ((this.#socket?.readyState ?? WebSocket.CLOSED) <= WebSocket.OPEN) return; // under way
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const protocols = ["omnilive.v1"];
    if (this.token) protocols.push("omnilive.token." + base64url(this.token));
    const base = new URL("v1/live", location.href);
    const socket = new WebSocket(`${scheme}://${base.host}${base.pathname}`, protocols);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#tell("state", { state: "connecting" });
    socket.onopen = () => this.say("hello", {
      protocol: PROTOCOL, resume: this.#resume, after: this.#after, name: "page",
    });
    socket.onmessage = (message) => this.#take(message.data);
    socket.onclose = (closed) => this.#broken(socket, closed);
  }

  /** Show this token from now on, also after a reload of the page. */
  use(token) {
    this.token = token;
    if (token) sessionStorage.setItem(KEPT_TOKEN, token);
    else sessionStorage.removeItem(KEPT_TOKEN);
  }

  close() {
    this.#wanted = false;
    clearTimeout(this.#timer);
    if ((this.#socket?.readyState ?? WebSocket.CLOSED) === WebSocket.CLOSED) this.#tell("state", { state: "closed" });
    else this.#socket.close(1000);
    if (this.#socket?.readyState === WebSocket.CLOSED) this.#tell("state", { state: "closed" });
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN && this.session !== "";
  }

  /** Send a text message; lost while there is no connection. */
  say(type, fields = {}) {
    if (this.#socket?.readyState === WebSocket.OPEN) {
      this.#socket.send(JSON.stringify({ type, ...fields }));
    }
  }

  sendMedia(kind, ptsUs, payload) {
    if (!this.isOpen) return;
    if (kind === "picture" && this.#socket.bufferedAmount > WAITING_BYTES) return;
    this.#socket.send(encodeMedia(kind, this.#sequence[kind]++, Math.round(ptsUs), payload));
  }

  /** Have the session end; what is said of its end still comes. */
  end() {
    this.say("end");
    this.session = "";
  }

  /** Headers for requests beside the connection. */
  get headers() {
    return this.token ? { Authorization: `Bearer ${this.token}` } : {};
  }

  #take(data) {
    if (data instanceof ArrayBuffer) {
      this.#tell("sound", { data });
      return;
    }
    const message = JSON.parse(data);
    if (message.seq) this.#after = message.seq;
    if (message.type === "welcome") {
      this.#attempt = 0;
      if (!message.resumed) this.#after = 0;
      this.session = message.session;
      this.#resume = message.resume;
      sessionStorage.setItem(KEPT, message.resume);
      this.#sequence = { pcm: 0, picture: 0 };
      this.say("clock");
      this.#tell("state", { state: "open", resumed: message.resumed, missed: message.missed });
    } else if (message.type === "ended") {
      this.#wanted = false;
      this.#forget();
    }
    this.#tell("message", { message });
  }

  async #broken(socket, closed) {
    if (socket !== this.#socket) return;
    const greeted = this.session !== "";
    this.session = "";
    // A browser does not say why a socket was refused: ask where it does.
    if (!greeted && this.#wanted && (await this.#tokenIsRefused())) {
      this.#wanted = false;
      this.#tell("state", { state: "refused" });
      return;
    }
    if (socket !== this.#socket) return; // opened anew meanwhile
    const taken = closed.code === 4002; // another page has taken up this session
    if (!this.#wanted || taken) {
      this.#tell("state", { state: "closed", reason: closed.reason });
      return;
    }
    const limit = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#attempt++);
    const waitMs = limit * (0.5 + Math.random() / 2);
    this.#tell("state", { state: "waiting", waitMs, reason: closed.reason });
    this.#timer = setTimeout(() => this.open(), waitMs);
  }

  async #tokenIsRefused() {
    try {
      return (await fetch("v1/sessions", { headers: this.headers })).status === 401;
    } catch { // the service is not there
      return false;
    }
  }

  #forget() {
    this.#resume = "";
    sessionStorage.removeItem(KEPT);
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

function base64url(text) {
  const bytes = new TextEncoder().encode(text);
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
