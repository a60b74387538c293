// The phone's ear and mouth, in the audio thread: between the sound card's rate and µ-law at 8 kHz (ITU-T G.711).
"use strict";

const RATE = 8000;
const FRAME = 160; // samples of 20 ms
const BIAS = 0x84, CLIP = 32635;

function encode(sample) {
  let value = Math.round(Math.max(-1, Math.min(1, sample)) * 32767);
  const sign = value < 0 ? 0x80 : 0;
  value = Math.min(sign ? ~value : value, CLIP) + BIAS; // one's complement, as in ITU-T G.191
  const exponent = Math.max(0, 24 - Math.clz32(value));
  return ~(sign | (exponent << 4) | ((value >> (exponent + 3)) & 0x0f)) & 0xff;
}

function decode(code) {
  const bits = ~code & 0xff;
  const magnitude = ((((bits & 0x0f) << 3) + BIAS) << ((bits >> 4) & 7)) - BIAS;
  return (bits & 0x80 ? -magnitude : magnitude) / 32768;
}

// Microphone to frames of 20 ms. The page filters out what is above 3.4 kHz before, so that taking fewer samples folds nothing back.
registerProcessor("ear", class extends AudioWorkletProcessor {
  constructor() {
    super();
    this.step = sampleRate / RATE;
    this.place = 0; // of the next sample at 8 kHz, in samples of the input
    this.last = 0;
    this.frame = new Uint8Array(FRAME);
    this.filled = 0;
    this.peak = 0;
  }

  process([[input]]) {
    if (!input) return true;
    for (; this.place < input.length; this.place += this.step) {
      const whole = Math.floor(this.place);
      const before = whole ? input[whole - 1] : this.last;
      const sample = before + (input[whole] - before) * (this.place - whole);
      this.peak = Math.max(this.peak, Math.abs(sample));
      this.frame[this.filled++] = encode(sample);
      if (this.filled === FRAME) {
        this.port.postMessage({ frame: this.frame.slice(), peak: this.peak });
        this.filled = this.peak = 0;
      }
    }
    this.place -= input.length;
    this.last = input[input.length - 1];
    return true;
  }
});

// What the line says, from a queue; a mark in it is told when it is reached.
registerProcessor("mouth", class extends AudioWorkletProcessor {
  constructor() {
    super();
    this.step = RATE / sampleRate;
    this.queue = []; // Float32Array of samples, or the name of a mark
    this.place = 0; // in the first of the queue
    this.port.onmessage = ({ data }) => {
      if (data.clear) {
        this.tell();
        this.queue = [];
        this.place = 0;
      } else {
        this.queue.push(data.mark ?? Float32Array.from(data.codes, decode));
      }
    };
  }

  tell() {
    for (const part of this.queue) if (typeof part === "string") this.port.postMessage({ mark: part });
  }

  process(_, [[output]]) {
    for (let at = 0; at < output.length; at++) {
      while (typeof this.queue[0] === "string") this.port.postMessage({ mark: this.queue.shift() });
      const part = this.queue[0];
      if (!part) break;
      const whole = Math.floor(this.place);
      const after = whole + 1 < part.length ? part[whole + 1] : part[whole];
      output[at] = part[whole] + (after - part[whole]) * (this.place - whole);
      this.place += this.step;
      if (this.place >= part.length) {
        this.place -= part.length;
        this.queue.shift();
      }
    }
    return true;
  }
});
