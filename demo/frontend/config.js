/**
 * Where the API is, and how often (ms) the microphone's audio is sent there.
 *
 * The server of this page answers this address with a configuration of its own; these are the defaults.
 */
export default { api: "http://localhost:8000", chunkMs: 500 };
