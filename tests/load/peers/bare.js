// Node's bare http server with the same answer and headers, nothing stored.
const http = require("http");
const headers = {
  "Content-Type": "text/plain; charset=utf-8",
  "Access-Control-Allow-Origin": "*",
  "Cache-Control": "no-store",
  "X-Content-Type-Options": "nosniff",
};
http
  .createServer((request, response) => {
    response.writeHead(200, headers);
    response.end(String(Math.floor(Date.now() / 1000)));
  })
  .listen(Number(process.argv[2]), "127.0.0.1", 1024);
