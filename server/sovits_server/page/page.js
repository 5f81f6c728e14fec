// The page: lists voices, streams speech into WebAudio as it is made, draws it, uploads recordings.
// Everything that came from elsewhere is put in as text, never as HTML.

const WORDS = {
  en: {
    voice: "Voice", emotion: "Recording", language: "Language", auto: "as the voice", text: "Text", speed: "Speed",
    seed: "Seed", key: "Key", speak: "Speak", stop: "Stop", replay: "Again", save: "Save WAV",
    first: "First sound", length: "Length", took: "Made in", factor: "Faster than speech", add: "Add a recording",
    addWords: "Any length; the best 3 to 10 seconds are kept, and you are told which.",
    newName: "Name of the voice", feeling: "Emotion", file: "Recording", words: "What is said in it",
    wordsLanguage: "Language of that", send: "Add", copyTitle: "The same from a program", copy: "Copy",
    copied: "Copied.", waiting: "Waiting for the first sound …", speaking: "Speaking …", done: "Done.",
    stopped: "Stopped.", cutOff: "The sound was cut off.", noVoice: "There is no voice on this server.",
    wantsKey: "This server wants a key.", usual: "usual", uploading: "Sending …", added: "Added: ",
    gone: "The server cannot be reached.", sample: "Good morning. This is how the voice sounds.",
  },
  zh: {
    voice: "声音", emotion: "参考音频", language: "语言", auto: "随声音设定", text: "文本", speed: "语速",
    seed: "随机种子", key: "密钥", speak: "朗读", stop: "停止", replay: "重播", save: "保存 WAV",
    first: "首次出声", length: "时长", took: "合成用时", factor: "快于语音", add: "添加录音",
    addWords: "长度不限；会保留最好的 3 到 10 秒，并告诉你是哪一段。",
    newName: "声音名称", feeling: "情感", file: "录音文件", words: "录音里说了什么",
    wordsLanguage: "录音的语言", send: "添加", copyTitle: "在程序里调用", copy: "复制",
    copied: "已复制。", waiting: "正在等待第一段声音……", speaking: "正在朗读……", done: "完成。",
    stopped: "已停止。", cutOff: "声音中断了。", noVoice: "此服务器上没有声音。",
    wantsKey: "此服务器需要密钥。", usual: "默认", uploading: "正在上传……", added: "已添加：",
    gone: "无法连接服务器。", sample: "早上好。这就是这个声音的样子。",
  },
};
const PCM_RATE = 24000;
const AHEAD_S = 0.1; // before the first sample plays, so that the second piece is there in time
const $ = (id) => document.getElementById(id);
const base = new URL(".", location.href);
const stored = (name, value) => {
  try {
    if (value === undefined) return localStorage.getItem(name);
    localStorage.setItem(name, value);
  } catch { /* a private window keeps nothing */ }
  return null;
};

let tongue = stored("language") || ((navigator.language || "en").toLowerCase().startsWith("zh") ? "zh" : "en");
let voices = [];
let audio = null;
let asked = null; // the request under way: {abort, sources, start}
let wave = new Float32Array(0);
let rate = PCM_RATE;
let shownCode = "curl";
const say = (word) => WORDS[tongue][word];

let told = ""; // which of our words the status is, to say it in the other language
function status(text, kind = "", where = "status") {
  if (where === "status") told = Object.keys(WORDS[tongue]).find((word) => say(word) === text) || "";
  $(where).textContent = text;
  $(where).className = kind;
}

function translate() {
  document.documentElement.lang = tongue === "zh" ? "zh-CN" : "en";
  for (const element of document.querySelectorAll("[data-t]")) element.textContent = say(element.dataset.t);
  const other = tongue === "zh" ? "en" : "zh";
  $("language").textContent = other === "zh" ? "中文" : "English";
  $("language").lang = other;
  $("language").setAttribute("aria-label", other === "zh" ? "切换到中文" : "Switch to English");
  const text = $("text");
  if (!text.value || Object.values(WORDS).some((words) => words.sample === text.value)) text.value = say("sample");
  if (told) $("status").textContent = say(told);
  fillReferences();
  showCode();
}

function headers(more = {}) {
  const key = $("key").value;
  return key ? { Authorization: `Bearer ${key}`, ...more } : more;
}

async function problem(response) {
  try {
    const body = await response.json();
    return body.error?.message || body.message || `HTTP ${response.status}`;
  } catch {
    return `HTTP ${response.status}`;
  }
}

function option(value, text) {
  const made = document.createElement("option");
  made.value = value;
  made.textContent = text;
  return made;
}

async function loadVoices(wanted) {
  let response;
  try {
    response = await fetch(new URL("v1/audio/voices", base), { headers: headers() });
  } catch {
    return status(say("gone"), "bad");
  }
  $("key-field").hidden = response.ok && !$("key").value;
  if (response.status === 401) {
    $("key-field").hidden = false;
    return status(say("wantsKey"), "bad");
  }
  if (!response.ok) return status(await problem(response), "bad");
  const body = await response.json();
  voices = body.data || body.voices || [];
  const chosen = wanted || $("voice").value || stored("voice");
  $("voice").replaceChildren(...voices.map((voice) => option(voice.id, voice.name || voice.id)));
  if (voices.some((voice) => voice.id === chosen)) $("voice").value = chosen;
  $("speak").disabled = !voices.length;
  status(voices.length ? "" : say("noVoice"), voices.length ? "" : "bad");
  fillReferences();
  showCode();
}

function fillReferences() {
  const voice = voices.find((one) => one.id === $("voice").value) || {};
  const before = $("emotion").value;
  const names = (voice.references || []).map((one) => [one.name, one.emotion && one.emotion !== one.name
    ? `${one.name} (${one.emotion})` : one.name]);
  $("emotion").replaceChildren(option("", say("usual")), ...names.map(([value, text]) => option(value, text)));
  if (names.some(([value]) => value === before)) $("emotion").value = before;
}

function body() {
  const fields = { model: "gpt-sovits", input: $("text").value, voice: $("voice").value };
  if ($("speed").value !== "1") fields.speed = Number($("speed").value);
  if ($("seed").value !== "" && $("seed").value !== "0") fields.seed = Number($("seed").value);
  if ($("lang").value) fields.language = $("lang").value;
  if ($("emotion").value) fields.emotion = $("emotion").value;
  return fields;
}

// --- sound ---

function openAudio() {
  audio ||= new (window.AudioContext || window.webkitAudioContext)();
  if (audio.state === "suspended") audio.resume(); // browsers want a click first, and this is one
}

function schedule(samples, request) {
  if (!samples.length) return;
  const buffer = audio.createBuffer(1, samples.length, rate);
  buffer.copyToChannel(samples, 0);
  const source = audio.createBufferSource();
  source.buffer = buffer;
  source.connect(audio.destination);
  const late = request.next < audio.currentTime;
  if (request.next === 0 || late) {
    request.late += request.next && late ? 1 : 0;
    request.next = audio.currentTime + AHEAD_S;
  }
  if (!request.start) request.start = request.next;
  source.start(request.next);
  request.next += buffer.duration;
  request.sources.push(source);
}

function silence(request) {
  for (const source of request?.sources || []) {
    try { source.stop(); } catch { /* it has ended */ }
  }
}

function samplesOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const samples = new Float32Array(bytes.byteLength >> 1);
  for (let i = 0; i < samples.length; i += 1) samples[i] = view.getInt16(2 * i, true) / 32768;
  return samples;
}

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i += 1) bytes[i] = text.charCodeAt(i);
  return bytes;
}

function join(first, second) {
  const joined = new first.constructor(first.length + second.length);
  joined.set(first);
  joined.set(second, first.length);
  return joined;
}

async function* events(stream) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    held += done ? decoder.decode() : decoder.decode(value, { stream: true });
    const blocks = held.split("\n\n");
    held = blocks.pop();
    for (const block of blocks) {
      const data = block.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5)).join("");
      if (data.trim() && data.trim() !== "[DONE]") yield JSON.parse(data);
    }
    if (done) return;
  }
}

async function speak(event) {
  event.preventDefault();
  stop();
  openAudio();
  stored("voice", $("voice").value);
  const request = { abort: new AbortController(), sources: [], next: 0, start: 0, late: 0, begun: performance.now() };
  asked = request;
  wave = new Float32Array(0);
  for (const id of ["first", "length", "took", "factor"]) $(id).textContent = "–";
  $("sentences").replaceChildren();
  $("heard").hidden = false;
  $("save").hidden = true;
  $("stop").disabled = false;
  $("replay").disabled = true;
  status(say("waiting"));
  let ended = false;
  try {
    const fields = { ...body(), response_format: "pcm", stream_format: "sse", timestamps: true };
    const response = await fetch(new URL("v1/audio/speech", base), {
      method: "POST",
      headers: headers({ "Content-Type": "application/json" }),
      body: JSON.stringify(fields),
      signal: request.abort.signal,
    });
    if (!response.ok) {
      if (response.status === 401) $("key-field").hidden = false;
      return status(await problem(response), "bad");
    }
    rate = Number(response.headers.get("X-Sample-Rate")) || PCM_RATE;
    let odd = new Uint8Array(0);
    for await (const message of events(response.body)) {
      if (request !== asked) return;
      if (message.type === "speech.audio.delta") {
        const bytes = join(odd, bytesOf(message.audio || message.delta));
        const even = bytes.length & ~1;
        odd = bytes.slice(even);
        heard(samplesOf(bytes.subarray(0, even)), request);
      } else if (message.type === "speech.audio.sentence") {
        addSentence(message);
      } else if (message.type === "speech.audio.error") {
        return status(message.error?.message || say("cutOff"), "bad");
      } else if (message.type === "speech.audio.done") {
        ended = true;
      }
    }
    status(ended ? say("done") : say("cutOff"), ended ? "good" : "bad");
  } catch (error) {
    if (error.name !== "AbortError") status(request.start ? say("cutOff") : say("gone"), "bad");
  } finally {
    if (request === asked) finish(request);
  }
}

function heard(samples, request) {
  if (!samples.length) return;
  const now = (performance.now() - request.begun) / 1000;
  if (!wave.length) {
    $("first").textContent = `${Math.round(now * 1000)} ms`;
    status(say("speaking"));
  }
  wave = join(wave, samples);
  schedule(samples, request);
  const length = wave.length / rate;
  $("length").textContent = `${length.toFixed(2)} s`;
  $("took").textContent = `${now.toFixed(2)} s`;
  $("factor").textContent = `${(length / now).toFixed(1)}×`;
  $("heard").dataset.samples = wave.length;
}

function finish(request) {
  $("stop").disabled = !request.sources.length;
  const there = wave.length > 0;
  $("replay").disabled = !there;
  $("save").hidden = !there;
  if (!there) return;
  if ($("save").href.startsWith("blob:")) URL.revokeObjectURL($("save").href);
  $("save").href = URL.createObjectURL(new Blob([wavFile(wave, rate)], { type: "audio/wav" }));
}

function stop() {
  if (!asked) return;
  const request = asked;
  asked = null;
  request.abort.abort();
  silence(request);
  finish({ sources: [] });
  $("stop").disabled = true;
  status(say("stopped"));
}

function replay(from = 0) {
  openAudio();
  silence(asked);
  asked = { abort: new AbortController(), sources: [], next: 0, start: 0, late: 0, offset: from };
  const first = Math.min(wave.length - 1, Math.floor(from * rate));
  schedule(wave.subarray(first), asked);
  $("stop").disabled = false;
  status(say("speaking"));
}

function addSentence(sentence) {
  const item = document.createElement("li");
  const times = document.createElement("span");
  times.textContent = `${sentence.start.toFixed(2)} – ${sentence.end.toFixed(2)} s`;
  const text = document.createElement("div");
  text.textContent = sentence.text;
  item.append(times, text);
  $("sentences").append(item);
}

function wavFile(samples, sampleRate) {
  const file = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const ascii = (at, text) => [...text].forEach((char, i) => file.setUint8(at + i, char.charCodeAt(0)));
  ascii(0, "RIFF"); file.setUint32(4, 36 + 2 * samples.length, true); ascii(8, "WAVEfmt ");
  file.setUint32(16, 16, true); file.setUint16(20, 1, true); file.setUint16(22, 1, true);
  file.setUint32(24, sampleRate, true); file.setUint32(28, 2 * sampleRate, true);
  file.setUint16(32, 2, true); file.setUint16(34, 16, true);
  ascii(36, "data"); file.setUint32(40, 2 * samples.length, true);
  for (let i = 0; i < samples.length; i += 1) {
    file.setInt16(44 + 2 * i, Math.max(-32768, Math.min(32767, Math.round(samples[i] * 32768))), true);
  }
  return file.buffer;
}

// --- picture ---

let drawn = "";
function draw() {
  requestAnimationFrame(draw);
  const canvas = $("wave");
  const played = asked?.start ? audio.currentTime - asked.start + (asked.offset || 0) : 0;
  const state = `${wave.length} ${Math.round(played * 30)} ${canvas.clientWidth}`;
  if (state === drawn || $("heard").hidden) return;
  drawn = state;
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, canvas.clientWidth * scale);
  canvas.height = Math.max(1, canvas.clientHeight * scale);
  const pen = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  const columns = Math.floor(canvas.width / (2 * scale));
  const each = Math.max(1, wave.length / columns);
  const middle = canvas.height / 2;
  const now = played * rate;
  for (let column = 0; column < columns && column * each < wave.length; column += 1) {
    const first = Math.floor(column * each);
    const last = Math.min(wave.length, Math.floor(first + each));
    let peak = 0;
    const step = Math.max(1, Math.floor((last - first) / 200));
    for (let i = first; i < last; i += step) peak = Math.max(peak, Math.abs(wave[i]));
    pen.fillStyle = style.getPropertyValue(first < now ? "--main" : "--soft");
    const height = Math.max(scale, peak * canvas.height * 0.95);
    pen.fillRect(column * 2 * scale, middle - height / 2, 1.4 * scale, height);
  }
}

// --- a recording ---

async function upload(event) {
  event.preventDefault();
  status(say("uploading"), "", "said");
  const form = new FormData();
  const file = $("file").files[0];
  form.append("audio_sample", await readable(file), /\.(wav|flac|ogg|mp3)$/i.test(file.name) ? file.name : "recording.wav");
  form.append("name", $("new-name").value);
  form.append("base", $("voice").value);
  form.append("ref_text", $("words").value);
  form.append("ref_language", $("words-lang").value);
  form.append("emotion", $("new-emotion").value);
  form.append("consent", "true");
  try {
    const response = await fetch(new URL("v1/audio/voices", base), { method: "POST", headers: headers(), body: form });
    if (!response.ok) return status(await problem(response), "bad", "said");
    const answer = await response.json();
    status(say("added") + (answer.said || answer.voice?.name || ""), "good", "said");
    await loadVoices(answer.voice?.name);
  } catch {
    status(say("gone"), "bad", "said");
  }
}

async function readable(file) {
  // What a phone records, such as M4A, the browser can decode and the server need not.
  if (/\.(wav|flac|ogg|mp3)$/i.test(file.name)) return file;
  try {
    openAudio();
    const decoded = await audio.decodeAudioData(await file.arrayBuffer());
    const mono = new Float32Array(decoded.length);
    for (let channel = 0; channel < decoded.numberOfChannels; channel += 1) {
      decoded.getChannelData(channel).forEach((sample, i) => { mono[i] += sample / decoded.numberOfChannels; });
    }
    return new Blob([wavFile(mono, decoded.sampleRate)], { type: "audio/wav" });
  } catch {
    return file; // the server says what is wrong with it
  }
}

// --- code ---

const CODE = {
  curl: (url, fields, key) => `curl ${url} \\\n${key ? "  -H 'Authorization: Bearer YOUR_KEY' \\\n" : ""}`
    + `  -H 'Content-Type: application/json' \\\n  -d '${JSON.stringify(fields).replaceAll("'", "'\\''")}' \\\n  -o speech.mp3`,
  python: (url, fields, key) => {
    const { input, voice, model, speed, ...extra } = fields;
    const more = Object.keys(extra).length ? `,\n    extra_body=${JSON.stringify(extra)}` : "";
    return `from openai import OpenAI\n\nclient = OpenAI(base_url=${JSON.stringify(url.replace(/\/audio\/speech$/, ""))}, `
      + `api_key=${key ? '"YOUR_KEY"' : '"none"'})\nwith client.audio.speech.with_streaming_response.create(\n`
      + `    model=${JSON.stringify(model)}, voice=${JSON.stringify(voice)},\n    input=${JSON.stringify(input)}`
      + `${speed ? `,\n    speed=${speed}` : ""}${more},\n) as speech:\n    speech.stream_to_file("speech.mp3")`;
  },
  javascript: (url, fields, key) => `const answer = await fetch(${JSON.stringify(url)}, {\n  method: "POST",\n`
    + `  headers: { "Content-Type": "application/json"${key ? ', "Authorization": "Bearer YOUR_KEY"' : ""} },\n`
    + `  body: JSON.stringify(${JSON.stringify(fields)}),\n});\n`
    + "if (!answer.ok) throw new Error((await answer.json()).error.message);\n"
    + "new Audio(URL.createObjectURL(await answer.blob())).play();",
};

function showCode() {
  const url = new URL("v1/audio/speech", base).href;
  $("code").textContent = CODE[shownCode](url, body(), Boolean($("key").value));
  for (const tab of document.querySelectorAll("[data-code]")) {
    tab.setAttribute("aria-pressed", String(tab.dataset.code === shownCode));
  }
}

async function copy() {
  try {
    await navigator.clipboard.writeText($("code").textContent);
  } catch { // only pages of this machine or of https may: select it instead
    getSelection().selectAllChildren($("code"));
    if (!document.execCommand("copy")) return;
  }
  status(say("copied"), "good");
}

$("language").addEventListener("click", () => {
  tongue = tongue === "zh" ? "en" : "zh";
  stored("language", tongue);
  translate();
});
$("ask").addEventListener("submit", speak);
$("ask").addEventListener("input", () => {
  $("speed-shown").textContent = Number($("speed").value).toFixed(2);
  showCode();
});
$("voice").addEventListener("change", () => { fillReferences(); showCode(); });
$("key").addEventListener("change", () => loadVoices());
$("stop").addEventListener("click", stop);
$("replay").addEventListener("click", () => replay());
$("wave").addEventListener("click", (event) => {
  if (!wave.length || !$("save").href) return;
  const box = $("wave").getBoundingClientRect();
  const columns = box.width / 2;
  const each = Math.max(1, wave.length / columns);
  replay(Math.min(wave.length - 1, ((event.clientX - box.left) / 2) * each) / rate);
});
$("upload").addEventListener("submit", upload);
$("copy").addEventListener("click", copy);
for (const tab of document.querySelectorAll("[data-code]")) {
  tab.addEventListener("click", () => { shownCode = tab.dataset.code; showCode(); });
}
translate();
loadVoices();
requestAnimationFrame(draw);
