// Wires the page: devices to the connection, events to what is shown.

import { Capture, Speaker, devices } from "./devices.js";
import { Link } from "./link.js";
import { Memory } from "./memory.js";
import { Turns } from "./turns.js";
import { decodeAnswer, pcm16 } from "./wire.js";
import { choose, say } from "./words.js";

const OUTCOMES = new Set(["unanswered", "answer_interrupted", "answer_cancelled", "answer_finished"]);
const ENDS = new Set(["speech_started", "transcribed", ...OUTCOMES]);

const $ = (id) => document.getElementById(id);

const link = new Link();
const turns = new Turns($("turns"));
const memory = new Memory($("clips"), $("memory-count"), $("clip-view"), link);
const speaker = new Speaker(onPlayed);
const capture = new Capture($("preview"), { sound: onSound, picture: onPicture });
let running = false;
let muted = false;
let held = false;
let newest = null; // utterance begun last
let answering = null; // generation of the answer in progress
let heard = -1; // generation of the newest sound

link.addEventListener("state", ({ detail }) => showConnection(detail));
link.addEventListener("message", ({ detail }) => take(detail.message));
link.addEventListener("sound", ({ detail }) => {
  const chunk = decodeAnswer(detail.data);
  if (!chunk) return;
  heard = chunk.generation;
  speaker.play(chunk);
});

$("start").onclick = () => (running ? stop() : start());
$("mute").onclick = () => setMuted(!muted);
$("stop").onclick = stopAnswer;
$("volume").oninput = (input) => (speaker.volume = Number(input.target.value));
$("mode").onchange = applyMode;
$("camera").onchange = $("microphone").onchange = () => running && openDevices();
$("language").onchange = (change) => choose(change.target.value);
$("ask").onsubmit = async (submit) => {
  submit.preventDefault();
  const text = $("question").value.trim();
  if (!text) return;
  if (!link.isOpen && !(await connect())) return;
  await speaker.start();
  link.say("ask", { text });
  $("question").value = "";
};
$("pull-form").onsubmit = async (submit) => {
  submit.preventDefault();
  if (!running) await start(false);
  link.say("pull", { url: $("pull").value.trim() });
};
$("pull-end").onclick = async () => {
  $("pull").value = "";
  link.say("pull", { url: "" });
  if (running && window.isSecureContext) await openDevices();
};
$("token-form").onsubmit = (submit) => {
  submit.preventDefault();
  link.use($("token").value.trim());
  notice("");
  link.open();
};
$("talk").addEventListener("pointerdown", () => hold(true));
for (const up of ["pointerup", "pointerleave", "pointercancel"]) {
  $("talk").addEventListener(up, () => hold(false));
}
window.addEventListener("blur", () => hold(false));
document.addEventListener("keydown", (key) => isTalkKey(key) && (key.preventDefault(), hold(true)));
document.addEventListener("keyup", (key) => isTalkKey(key) && hold(false));
fillDevices();

async function start(withDevices = true) {
  notice("");
  running = true;
  $("start").textContent = say("End");
  for (const id of ["mute", "stop", "talk"]) $(id).disabled = false;
  if (withDevices && !window.isSecureContext) {
    notice("This page is not secure (no HTTPS), so the browser gives it no camera or microphone. Open it by https:// or on this machine by http://localhost. Typed questions work.");
  }
  await speaker.start();
  if (!(await connect())) return running && stop();
  if (!running) return; // ended meanwhile
  showState("listening");
  if (withDevices && window.isSecureContext) await openDevices();
  applyMode();
}

function stop() {
  running = false;
  capture.stop();
  if (link.isOpen) link.end();
  else link.close();
  $("start").textContent = say("Start");
  for (const id of ["mute", "stop", "talk"]) $(id).disabled = true;
  showState("idle");
}

/** Open the connection; whether there is one in the end. */
async function connect() {
  if (link.isOpen) return true;
  return new Promise((done) => {
    const wait = ({ detail: { state } }) => {
      if (state !== "open" && state !== "closed") return;
      link.removeEventListener("state", wait);
      done(state === "open");
    };
    link.addEventListener("state", wait);
    link.open();
  });
}

/** Silence here at once, and have the service stop the answer that was heard. */
function stopAnswer() {
  speaker.cut(heard); // the player tells how much of it was heard
  link.say("interrupt", answering === null ? {} : { generation: answering });
}

function beginAnew() {
  for (const part of [speaker, turns, memory]) part.reset();
  newest = answering = null;
  heard = -1;
}

async function openDevices() {
  try {
    await capture.start($("camera").value, $("microphone").value);
    await fillDevices();
    applyMode();
  } catch (error) {
    notice(`The camera or microphone cannot be used (${error.name}). Allow it in the browser, or choose another one in the settings.`);
  }
}

function onSound(ptsUs, samples, level) {
  link.sendMedia("pcm", ptsUs, pcm16(samples));
  const percent = Math.min(100, Math.round(Math.sqrt(level) * 140));
  $("level").firstElementChild.style.width = `${percent}%`;
  $("level").setAttribute("aria-valuenow", percent);
}

function onPicture(ptsUs, jpeg) {
  link.sendMedia("picture", ptsUs, jpeg);
}

function onPlayed({ generation, samples, final, level }) {
  link.say("playout", { generation, samples, final });
  capture.echo(final ? 0 : level * Number($("volume").value));
  if (final) showState("listening");
}

function take(message) {
  if (message.type === "welcome" && !message.resumed) beginAnew();
  if (message.type === "error") return notice(message.message);
  if (message.type !== "event") return;
  const event = message.event;
  turns.take(event);
  memory.take(event);
  if (event.type === "source_notice") notice(event.what);
  if (event.type === "speech_started" || event.type === "transcribed") newest = event.utterance;
  // What becomes of an earlier utterance may be told after a later one is being thought about.
  const past = OUTCOMES.has(event.type) && event.utterance !== newest;
  if (event.type === "token_decoded") answering = event.generation;
  if (ENDS.has(event.type) && !past) answering = null;
  if (event.type === "answer_interrupted" || event.type === "answer_cancelled") {
    speaker.cut(event.generation);
    capture.echo(0);
  }
  const state = {
    speech_started: "listening", speech_ended: "thinking", transcribed: "thinking",
    sentence_spoken: "speaking", unanswered: "listening", answer_finished: "listening",
    answer_cancelled: "listening",
  }[event.type];
  if (state && !past) showState(state);
}

function applyMode() {
  const push = $("mode").value === "push";
  $("talk").hidden = !push;
  capture.mute(muted || (push && !held));
}

function setMuted(value) {
  muted = value;
  $("mute").setAttribute("aria-pressed", String(value));
  $("mute").textContent = say(value ? "Unmute" : "Mute");
  applyMode();
}

function hold(value) {
  if (held === value || !running) return;
  held = value;
  $("talk").classList.toggle("held", held);
  applyMode();
}

function isTalkKey(key) {
  const typing = /^(INPUT|TEXTAREA|SELECT|BUTTON|SUMMARY)$/.test(key.target.tagName) && key.target.id !== "talk";
  return key.code === "Space" && !typing && $("mode").value === "push";
}

async function fillDevices() {
  for (const [id, kind] of [["camera", "videoinput"], ["microphone", "audioinput"]]) {
    const chosen = $(id).value;
    const options = (await devices(kind)).map((device, i) => new Option(device.label || `${id} ${i + 1}`, device.deviceId));
    $(id).replaceChildren(new Option(say("default"), ""), ...options);
    $(id).value = options.some((option) => option.value === chosen) ? chosen : "";
  }
}

function showConnection({ state, waitMs, resumed, reason }) {
  const words = {
    connecting: "connecting …",
    open: resumed ? "connected again" : "connected",
    refused: "token needed",
    waiting: "connection lost, trying again in",
    closed: reason === "ended" ? "session ended" : "not connected",
  };
  const more = { waiting: ` ${Math.ceil((waitMs ?? 0) / 1000)} s`, closed: reason && reason !== "ended" ? `: ${reason}` : "" };
  $("connection").textContent = say(words[state]) + (more[state] ?? "");
  $("connection").dataset.state = state;
  if (state === "open" && running) showState("listening");
  if (state === "refused") askForToken();
}

function askForToken() {
  notice(say(link.token ? "The service refused this token." : "This service asks for its token: give it in the settings."));
  document.querySelector(".settings").open = true;
  $("token").focus();
}

function showState(state) {
  $("state").textContent = say(state);
  $("state").dataset.state = state;
}

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}
