const { WebSocketServer } = require("ws");
const { toFile } = require("openai");

const { openai } = require("../config/openai");

const CHUNKS_PER_REQUEST = 8;

class TranscriptionSession {
  constructor(ws) {
    this.ws = ws;
    this.id = `conn-${Date.now()}-${Math.random().toString(36).slice(2, 11)}`;
    this.isRecording = false;
    this.reset();
  }

  reset() {
    this.header = null;
    this.chunks = [];
    this.text = "";
    this.reported = false;
  }

  send(message) {
    if (this.ws.readyState === this.ws.OPEN) {
      this.ws.send(JSON.stringify(message));
    }
  }

  async handle(data) {
    switch (data.type) {
      case "start_recording":
        return this.start(data.consultationId);
      case "audio_chunk":
        return this.addChunk(data.audioData);
      case "stop_recording":
        return this.stop();
    }
  }

  start(consultationId) {
    this.reset();
    this.isRecording = true;
    this.send({
      type: "recording_started",
      consultationId,
      message: "Recording started - Speak now!",
    });
  }

  async addChunk(audioData) {
    if (!this.isRecording) return;
    try {
      const chunk = Buffer.from(audioData, "base64");
      if (!this.header) {
        this.header = chunk; // a WebM cannot be read without its first part
        return;
      }
      this.chunks.push(chunk);
      if (this.chunks.length % CHUNKS_PER_REQUEST === 0) {
        await this.transcribePart(this.chunks.slice(-CHUNKS_PER_REQUEST));
      }
    } catch (err) {
      this.send({ type: "error", message: "Error processing audio" });
    }
  }

  async transcribePart(chunks) {
    try {
      const heard = await this.transcribe("temp", chunks);
      if (!heard) return;
      this.text = this.text ? `${this.text} ${heard}` : heard;
      this.send({
        type: "transcript",
        text: this.text,
        timestamp: new Date().toISOString(),
        isPartial: true,
      });
    } catch (err) {
      if (err.message?.includes("could not be decoded") || this.reported) return;
      this.reported = true;
      this.send({
        type: "error",
        message: "Transcription temporarily unavailable",
        timestamp: new Date().toISOString(),
      });
    }
  }

  async stop() {
    this.isRecording = false;
    if (this.chunks.length > 0) {
      try {
        const text = await this.transcribe("final", this.chunks);
        this.send({
          type: "transcript",
          text,
          timestamp: new Date().toISOString(),
          isPartial: false,
          isFinal: true,
        });
      } catch (err) {
        this.send({
          type: "error",
          message: "Final transcription failed",
          timestamp: new Date().toISOString(),
        });
      }
    }
    this.send({ type: "recording_stopped", message: "Recording stopped" });
  }

  async transcribe(name, chunks) {
    const audio = Buffer.concat([this.header, ...chunks]);
    const text = await openai.audio.transcriptions.create({
      file: await toFile(audio, `${name}-${this.id}-${Date.now()}.webm`),
      model: "whisper-1",
      language: "en",
      response_format: "text",
      temperature: 0.2,
    });
    return text.trim();
  }
}

module.exports = function attachTranscriptionStream(server) {
  const wss = new WebSocketServer({ server, path: "/transcription-stream" });

  wss.on("connection", (ws) => {
    const session = new TranscriptionSession(ws);
    session.send({
      type: "connection",
      connectionId: session.id,
      message: "Connected to transcription stream",
    });

    ws.on("message", async (raw) => {
      try {
        await session.handle(JSON.parse(raw.toString()));
      } catch (err) {
        session.send({ type: "error", message: "Invalid message format" });
      }
    });

    ws.on("error", (err) => console.error(err.message));
  });

  return wss;
};
