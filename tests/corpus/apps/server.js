const { hostname } = require("os");
const server = require("http").createServer((request, response) => response.end(`node ${hostname()}\n`));
server.listen(Number(process.env.PORT));
process.on("SIGINT", () => process.exit(0));
