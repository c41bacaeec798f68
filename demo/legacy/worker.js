const http = require("http");

process.env.NODE_ENV ||= "production";

const app = require("./app");
const connectDatabase = require("./config/db");
const attachTranscriptionStream = require("./services/transcription.stream");

process.on("disconnect", () => process.exit(0)); // the supervisor has ended

async function main() {
  await connectDatabase();
  const server = http.createServer(app);
  attachTranscriptionStream(server);
  server.on("error", (err) => {
    console.error(`cannot listen: ${err.message}`);
    process.exit(1);
  });
  server.listen(process.env.PORT, process.env.HOST || "127.0.0.1", () => {
    process.send({ port: server.address().port });
  });
}

main().catch((err) => {
  console.error(`cannot start: ${err.message}`);
  process.exit(1);
});
