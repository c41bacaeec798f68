/**
 * The URL of the API, and the interval (ms) at which the microphone's audio is sent.
 *
 * The server of this page replaces this file by its own configuration; these are the defaults.
 */
export default { api: "http://localhost:8000", chunkMs: 500 };
