/**
 * The microphone's audio, sent to the transcription stream while it is recorded, and the resulting text.
 *
 *   connection → start_recording → recording_started → audio_chunk … → stop_recording → transcript → recording_stopped
 *
 * The first piece of audio has the WebM header, which the service prepends to all others. Pieces are therefore sent in
 * order, and only after the service has started to record.
 */

const MIME = "audio/webm;codecs=opus";
const PATIENCE_MS = 10_000;
const FINISHING_MS = 60_000;

/** Messages for faults of the microphone, by the name of the browser's error. */
const FAULTS = {
  NotAllowedError: "The microphone is blocked for this page. Allow it in the browser, and try again.",
  NotFoundError: "No microphone was found.",
  NotReadableError: "The microphone is in use by another program.",
};

export class Recorder {
  #handlers;
  #url;
  #chunkMs;
  #socket = null;
  #stream = null;
  #media = null;
  #audio = null;
  #analyser = null;
  #sending = Promise.resolve();
  #deadline = 0;
  state = "idle";

  /**
   * `onstate(state)` gets `idle`, `connecting`, `recording` or `finishing`, `ontext(text, isFinal)` the whole text so
   * far, and `ontrouble(message)` an error.
   */
  constructor(url, chunkMs, handlers) {
    this.#url = url;
    this.#chunkMs = chunkMs;
    this.#handlers = handlers;
  }

  async start(consultationId) {
    this.#become("connecting");
    try {
      this.#stream = await openMicrophone();
      if (this.state !== "connecting") return this.#release(); // abandoned while the browser asked for permission
      this.#listen();
      this.#connect(consultationId);
    } catch (error) {
      this.#fail(FAULTS[error.name] ?? error.message);
    }
  }

  /** Sends the rest of the audio; the service then sends the final text of all audio. */
  stop() {
    if (this.state !== "recording") return;
    this.#become("finishing");
    this.#expect(FINISHING_MS, "The final text did not come in time. The transcript so far is kept.");
    this.#media.stop();
  }

  /** Ends at once, without a final text. */
  abandon() {
    this.#release();
    this.state = "idle";
  }

  /** The present loudness, from 0 to 1. */
  level() {
    if (!this.#analyser) return 0;
    const samples = new Float32Array(this.#analyser.fftSize);
    this.#analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
    return Math.min(1, Math.sqrt(power) * 4);
  }

  #listen() {
    this.#audio = new AudioContext();
    this.#analyser = this.#audio.createAnalyser();
    this.#audio.createMediaStreamSource(this.#stream).connect(this.#analyser);
  }

  #connect(consultationId) {
    this.#expect(PATIENCE_MS, "The transcription service does not answer. Please try again.");
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    const react = {
      connection: () => this.#send({ type: "start_recording", consultationId }),
      recording_started: () => this.#record(),
      transcript: (message) => this.#handlers.ontext(message.text, Boolean(message.isFinal)),
      error: (message) => this.#handlers.ontrouble(`${message.message}.`),
      recording_stopped: () => this.#finish(),
    };
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      react[message.type]?.(message);
    };
    socket.onclose = () => this.#fail("The connection was lost. The transcript so far is kept.");
  }

  #record() {
    clearTimeout(this.#deadline);
    this.#media = new MediaRecorder(this.#stream, { mimeType: MIME, audioBitsPerSecond: 32_000 });
    this.#media.ondataavailable = ({ data }) => this.#sendAudio(data);
    this.#media.onstop = () => this.#sending.then(() => this.#send({ type: "stop_recording" }));
    this.#media.start(this.#chunkMs);
    this.#become("recording");
  }

  #sendAudio(blob) {
    if (blob.size === 0) return;
    this.#sending = this.#sending
      .then(() => encode(blob))
      .then((audioData) => this.#send({ type: "audio_chunk", audioData }));
  }

  #send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #expect(ms, complaint) {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => this.#fail(complaint), ms);
  }

  #finish() {
    this.#release();
    this.#become("idle");
  }

  #fail(complaint) {
    this.#release();
    this.#handlers.ontrouble(complaint);
    this.#become("idle");
  }

  #release() {
    clearTimeout(this.#deadline);
    if (this.#media) this.#media.ondataavailable = this.#media.onstop = null;
    if (this.#media?.state === "recording") this.#media.stop();
    if (this.#socket) this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket?.close();
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#audio?.close();
    this.#socket = this.#media = this.#stream = this.#audio = this.#analyser = null;
  }

  #become(state) {
    this.state = state;
    this.#handlers.onstate(state);
  }
}

async function openMicrophone() {
  if (!navigator.mediaDevices || !globalThis.MediaRecorder?.isTypeSupported(MIME)) {
    throw new Error("This browser cannot record. Recent versions of Chrome, Edge, Firefox and Safari can.");
  }
  return navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: true, noiseSuppression: true } });
}

/** A blob's bytes in base64. */
function encode(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}
