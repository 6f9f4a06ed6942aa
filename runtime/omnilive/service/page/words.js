// The page's own words in the languages it knows. What is asked and answered is never translated.

const CHINESE = {
  "Skip to the question": "跳到提问框",
  "not connected": "未连接",
  "connecting …": "正在连接……",
  connected: "已连接",
  "connected again": "已重新连接",
  "token needed": "需要令牌",
  "session ended": "会话已结束",
  "connection lost, trying again in": "连接中断，即将重试：",
  "There is no connection: press Start.": "没有连接：请按“开始”。",
  "The service refused this token.": "服务拒绝了这个令牌。",
  "This service asks for its token: give it in the settings.": "此服务需要令牌：请在设置中填写。",
  "What you say and ask appears here, with its answers.": "你说的话、提的问题和回答会显示在这里。",
  "Nothing has been seen yet.": "还没有看到任何东西。",
  "This camera again": "改回本机摄像头",
  default: "默认",
  "(nothing understood)": "（没有听懂）",
  "not answered": "未回答",
  "asks for nothing": "没有提问",
  "no words": "没有话语",
  "too long": "太长",
  "something else was said": "又说了别的话",
  interrupted: "已打断",
  "goes on": "继续",
  stopped: "已停止",
  heard: "听",
  thought: "思考",
  "began to speak": "开始说话",
  "used for the newest answer": "用于最新的回答",
  "The camera is off.": "摄像头已关闭。",
  idle: "空闲",
  listening: "正在听",
  thinking: "正在思考",
  speaking: "正在说话",
  Start: "开始",
  End: "结束",
  Mute: "静音",
  Unmute: "取消静音",
  "Stop answer": "停止回答",
  "Hold to talk": "按住说话",
  Settings: "设置",
  Camera: "摄像头",
  Microphone: "麦克风",
  Listening: "收听方式",
  "open microphone": "麦克风常开",
  "push to talk (hold space)": "按键说话（按住空格）",
  Volume: "音量",
  Language: "语言",
  "Watch a stream instead": "改看一个视频流",
  Connect: "连接",
  Token: "令牌",
  Use: "使用",
  Ask: "提问",
  "Ask about what it has seen": "问问它看到了什么",
  Memory: "记忆",
  Close: "关闭",
  clip: "个片段",
  clips: "个片段",
};

const ENGLISH = Object.fromEntries(Object.entries(CHINESE).map(([en, zh]) => [zh, en]));

let chosen = "en";

/** A phrase of the page in the chosen language; one that is not known stays English. */
export function say(phrase) {
  return chosen === "zh" ? (CHINESE[phrase] ?? phrase) : phrase;
}

/** Put the whole page into a language: "en" or "zh". */
export function choose(language) {
  chosen = language;
  document.documentElement.lang = language;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (node.parentElement.closest("#turns, #clips, script")) continue;
    const shown = node.data.trim();
    const phrase = ENGLISH[shown] ?? shown;
    if (phrase in CHINESE) node.data = node.data.replace(shown, say(phrase));
  }
  for (const input of document.querySelectorAll("[placeholder]")) {
    input.placeholder = say(ENGLISH[input.placeholder] ?? input.placeholder);
  }
  for (const list of document.querySelectorAll("[data-empty]")) {
    list.dataset.empty = say(ENGLISH[list.dataset.empty] ?? list.dataset.empty);
  }
}
