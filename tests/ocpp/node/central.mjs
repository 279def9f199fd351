// A central system by ocpp-rpc, strict, to stand behind the tap. It prints its port, then what it
// hears and what went against the schemas, and resets each charger once.
import { RPCServer, createRPCError } from "ocpp-rpc";

const tell = (said) => process.stdout.write(`${JSON.stringify(said)}\n`);
const now = () => new Date().toISOString();
const central = new RPCServer({ protocols: ["ocpp1.6", "ocpp2.0.1"], strictMode: true });
central.auth((accept, reject, { identity, password }) => {
  tell({ came: identity, password: password?.toString() });
  accept({});
});
let transactions = 0;
central.on("client", (charger) => {
  const old = charger.protocol === "ocpp1.6";
  const answers = {
    BootNotification: () => ({ status: "Accepted", interval: 300, currentTime: now() }),
    Heartbeat: () => ({ currentTime: now() }),
    Authorize: () => (old ? { idTagInfo: { status: "Accepted" } } : { idTokenInfo: { status: "Accepted" } }),
    StartTransaction: () => ({ transactionId: ++transactions, idTagInfo: { status: "Accepted" } }),
    DataTransfer: () => ({ status: "Rejected" }),
  };
  charger.on("strictValidationFailure", ({ error }) => tell({ violation: error.message }));
  charger.handle(({ method, params }) => {
    tell({ heard: method, params });
    if (method === "SignCertificate") throw createRPCError("NotSupported");
    if (method === "FirmwareStatusNotification") setTimeout(() => charger.call("Reset", { type: old ? "Soft" : "Immediate" })
      .then((answer) => tell({ reset: answer })).catch((error) => tell({ violation: error.message })), 20);
    return (answers[method] ?? (() => ({})))();
  });
});
const http = await central.listen(0, "127.0.0.1");
tell({ port: http.address().port });
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
