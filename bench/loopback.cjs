// Preloaded into a peer that cannot be told an address: what it listens on stays on this machine.
const net = require('net');
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (first, ...rest) {
  if (first && typeof first === 'object' && 'port' in first) return listen.call(this, { ...first, host: '127.0.0.1' }, ...rest);
  const callback = rest.find((value) => typeof value === 'function');
  return listen.call(this, { port: Number(first), host: '127.0.0.1' }, callback);
};
