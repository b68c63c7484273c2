const http = require("node:http");
const os = require("node:os");

const server = http.createServer((request, response) => {
  console.log(`${request.method} ${request.url}`);
  response.writeHead(200, { "Content-Type": "text/html; charset=utf-8" });
  response.end(`<h1>Hello from Pogu</h1>\n<p>container ${os.hostname()}, node ${process.version}</p>\n`);
});

server.listen(80, () => console.log("listening on port 80"));

process.on("SIGTERM", () => server.close(() => process.exit(0)));
