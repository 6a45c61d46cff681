// An MCP client for one short session: node ask.mjs PORT [METHOD PARAMS]…
//
// Initializes a session, sends the requests, prints each result as a line of JSON, and closes the session. If a request
// fails, the exit code is 1 and the reason is on stderr. Without a METHOD it is the container's health check.
const [port, ...asked] = process.argv.slice(2);
// "localhost", not an address: Playwright's server answers only to the host names in its --allowed-hosts.
const url = `http://localhost:${port}/mcp`;
const patience = asked.length ? 120_000 : 8_000;
const headers = { 'Content-Type': 'application/json', Accept: 'application/json, text/event-stream' };
let number = 0;

async function send(message) {
  const body = JSON.stringify({ jsonrpc: '2.0', ...message });
  const signal = AbortSignal.timeout(patience);
  const answer = await fetch(url, { method: 'POST', headers, body, signal });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${message.method}: ${answer.status} ${text.slice(0, 500)}`);
  const session = answer.headers.get('mcp-session-id');
  if (session) headers['Mcp-Session-Id'] = session;
  return (answer.headers.get('content-type') ?? '').startsWith('text/event-stream') ? events(text) : [text];
}

function events(text) {
  const lines = text.split('\n').filter((line) => line.startsWith('data:'));
  return lines.map((line) => line.slice('data:'.length));
}

async function ask(method, params) {
  const id = ++number;
  const messages = (await send({ id, method, params })).filter((text) => text.trim()).map((text) => JSON.parse(text));
  const message = messages.find((item) => item.id === id);
  if (!message) throw new Error(`${method}: no answer`);
  if (message.error) throw new Error(`${method}: ${message.error.message}`);
  return message.result;
}

async function close() {
  if (!headers['Mcp-Session-Id']) return;
  await fetch(url, { method: 'DELETE', headers, signal: AbortSignal.timeout(patience) });
}

try {
  const client = { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'ask', version: '1.0.0' } };
  const { protocolVersion, serverInfo } = await ask('initialize', client);
  headers['Mcp-Protocol-Version'] = protocolVersion;
  await send({ method: 'notifications/initialized' });
  if (!asked.length) console.log(`${serverInfo.name} ${serverInfo.version}`);
  for (let at = 0; at < asked.length; at += 2) {
    console.log(JSON.stringify(await ask(asked[at], JSON.parse(asked[at + 1] ?? '{}'))));
  }
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  await close().catch((error) => console.error(error.message));
}
