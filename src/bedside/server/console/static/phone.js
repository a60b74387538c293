// The browser phone: Twilio's Media Streams over a WebSocket of this gateway, which carries the call to the line.

const SPEECH = 3400; // Hz: what a telephone passes
const FORMAT = { encoding: "audio/x-mulaw", sampleRate: 8000, channels: 1 };
const REASONS = { 1008: "The line did not take the call", 1013: "No line is free" };

const part = (id) => document.getElementById(id);
const keys = [...document.querySelectorAll("[data-key]")];
let call = null;

class Call {
  constructor(caller) {
    this.caller = caller;
    this.name = crypto.randomUUID();
    this.sequence = 0;
    this.chunk = 0;
    this.over = false;
  }

  async begin() {
    if (!navigator.mediaDevices) throw new Error("browsers give the microphone to pages under TLS only");
    tell("Asking for the microphone");
    this.microphone = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: true, noiseSuppression: true, channelCount: 1 } });
    this.sound = new AudioContext();
    await this.sound.audioWorklet.addModule("/console/static/phone-worklet.js");
    if (this.over) return this.letGo();
    this.ear = new AudioWorkletNode(this.sound, "ear", { numberOfOutputs: 0 });
    this.mouth = new AudioWorkletNode(this.sound, "mouth", { numberOfInputs: 0, outputChannelCount: [1] });
    this.sound.createMediaStreamSource(this.microphone).connect(this.telephone(this.ear));
    this.mouth.connect(this.telephone(this.sound.destination));
    this.ear.port.onmessage = ({ data }) => this.hear(data);
    this.mouth.port.onmessage = ({ data }) => this.send("mark", { mark: { name: data.mark } });
    this.ring();
  }

  // A low pass of the fourth order in front of a node.
  telephone(to) {
    const [first, second] = [0.541, 1.307].map((Q) => new BiquadFilterNode(this.sound, { type: "lowpass", frequency: SPEECH, Q: 20 * Math.log10(Q) }));
    first.connect(second).connect(to);
    return first;
  }

  ring() {
    tell("Ringing");
    const address = new URL("/console/phone/stream", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    this.socket = new WebSocket(address);
    this.socket.onopen = () => {
      this.socket.send(JSON.stringify({ event: "connected", protocol: "Call", version: "1.0.0" }));
      this.send("start", { start: { streamSid: this.name, callSid: this.name, tracks: ["inbound"], mediaFormat: FORMAT, customParameters: { from: this.caller } } });
      this.began = Date.now();
      this.timer = setInterval(() => this.count(), 500);
      tell("Connected");
    };
    this.socket.onmessage = ({ data }) => this.take(JSON.parse(data));
    this.socket.onclose = ({ code, reason }) => this.end(REASONS[code] ? `${REASONS[code]}: ${reason}` : "The call has ended");
  }

  take(message) {
    if (message.event === "media") {
      const codes = Uint8Array.from(atob(message.media.payload), (letter) => letter.charCodeAt(0));
      this.mouth.port.postMessage({ codes });
    } else if (message.event === "mark") {
      this.mouth.port.postMessage({ mark: message.mark.name });
    } else if (message.event === "clear") {
      this.mouth.port.postMessage({ clear: true });
    }
  }

  hear({ frame, peak }) {
    part("level").value = peak;
    this.chunk += 1;
    this.send("media", { media: { track: "inbound", chunk: String(this.chunk), timestamp: String(20 * this.chunk), payload: btoa(String.fromCharCode(...frame)) } });
  }

  press(key) {
    this.send("dtmf", { dtmf: { track: "inbound_track", digit: key } });
    tell(`Pressed ${key}`);
  }

  send(event, content) {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    this.sequence += 1;
    this.socket.send(JSON.stringify({ event, sequenceNumber: String(this.sequence), streamSid: this.name, ...content }));
  }

  count() {
    const seconds = Math.floor((Date.now() - this.began) / 1000);
    part("clock").textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  }

  end(why) {
    if (this.over) return;
    this.over = true;
    this.send("stop", { stop: { callSid: this.name } });
    this.socket?.close();
    clearInterval(this.timer);
    this.letGo();
    call = null;
    part("level").value = 0;
    show(false);
    tell(why);
  }

  letGo() {
    this.microphone?.getTracks().forEach((track) => track.stop());
    this.sound?.close();
  }
}

function tell(words) {
  part("status").textContent = words;
}

function show(on) {
  part("call").disabled = part("caller").disabled = on;
  part("hang-up").disabled = !on;
  keys.forEach((key) => (key.disabled = !on));
  (on ? part("hang-up") : part("call")).focus();
}

async function begin() {
  const caller = part("caller");
  if (!caller.reportValidity()) return;
  const started = (call = new Call(caller.value));
  show(true);
  try {
    await started.begin();
  } catch (error) {
    started.end(error.name === "NotAllowedError" ? "The browser does not allow the microphone for this page" : `The phone cannot start: ${error.message}`);
  }
}

part("call").addEventListener("click", begin);
part("hang-up").addEventListener("click", () => call?.end("You hung up"));
keys.forEach((key) => key.addEventListener("click", () => call?.press(key.dataset.key)));
document.addEventListener("keydown", (event) => {
  if (call && /^[0-9*#]$/.test(event.key) && event.target.tagName !== "INPUT" && !event.ctrlKey && !event.metaKey && !event.altKey) call.press(event.key);
});
window.addEventListener("pagehide", () => call?.end("You left the page"));
