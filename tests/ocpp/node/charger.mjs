// A charge point by ocpp-rpc, strict: each message of both sides is checked against the schemas of
// the Open Charge Alliance. Usage: charger.mjs URL IDENTITY PASSWORD PROTOCOL. It walks through a
// day, tells each step as a line of JSON, then obeys calls until its input ends.
import { RPCClient, createRPCError } from "ocpp-rpc";

const [endpoint, identity, password, protocol] = process.argv.slice(2);
const tell = (said) => process.stdout.write(`${JSON.stringify(said)}\n`);
const now = () => new Date().toISOString();
const charger = new RPCClient({
  endpoint, identity, password, protocols: [protocol], strictMode: true, reconnect: false,
});
charger.on("strictValidationFailure", ({ error }) => tell({ violation: error.message }));

async function call(action, payload) {
  try {
    const answer = await charger.call(action, payload);
    tell({ action, answer });
    return answer;
  } catch (error) {
    tell({ action, error: error.rpcErrorCode ?? error.message });
    return {};
  }
}

async function rebooted(boot) {
  await call("BootNotification", boot);
  tell({ rebooted: true });
}

function obeys(answers) {
  for (const [action, answer] of Object.entries(answers)) {
    charger.handle(action, ({ params }) => {
      tell({ obeyed: action, params });
      const { then, ...said } = answer(params);
      if (then) setTimeout(then, 20);
      return said;
    });
  }
  charger.handle(() => { throw createRPCError("NotImplemented"); });
}

async function walk16() {
  obeys({
    Reset: () => ({ status: "Accepted", then: () => rebooted(boot) }),
    UnlockConnector: () => ({ status: "Unlocked" }),
    ChangeAvailability: () => ({ status: "Accepted" }),
    TriggerMessage: ({ connectorId }) => ({ status: "Accepted",
      then: () => call("StatusNotification", { connectorId: connectorId ?? 1, errorCode: "NoError", status: "Available" }) }),
    GetDiagnostics: () => ({ fileName: "log.zip", then: async () => {
      await call("DiagnosticsStatusNotification", { status: "Uploading" });
      await call("DiagnosticsStatusNotification", { status: "Uploaded" });
    } }),
  });
  const boot = { chargePointVendor: "Elsewhere", chargePointModel: "Strict 16", firmwareVersion: "9.1", chargePointSerialNumber: "S1" };
  await call("BootNotification", boot);
  await call("Heartbeat", {});
  for (const connectorId of [0, 1, 2]) await call("StatusNotification", { connectorId, errorCode: "NoError", status: "Available", timestamp: now() });
  await call("Authorize", { idTag: "CARD1" });
  await call("StatusNotification", { connectorId: 1, errorCode: "NoError", status: "Preparing" });
  const { transactionId } = await call("StartTransaction", { connectorId: 1, idTag: "CARD1", meterStart: 1000, timestamp: now() });
  await call("StatusNotification", { connectorId: 1, errorCode: "NoError", status: "Charging" });
  await call("MeterValues", { connectorId: 1, transactionId, meterValue: [{ timestamp: now(), sampledValue: [
    { value: "1500", measurand: "Energy.Active.Import.Register", unit: "Wh" },
    { value: "2.2", measurand: "Power.Active.Import", unit: "kW" },
    { value: "231", measurand: "Voltage", unit: "V" }, { value: "9.6", measurand: "Current.Import", unit: "A" },
  ] }] });
  await call("StopTransaction", { transactionId, meterStop: 2000, timestamp: now(), reason: "Local" });
  await call("StatusNotification", { connectorId: 2, errorCode: "GroundFailure", status: "Faulted", info: "RCD", vendorErrorCode: "E7" });
  await call("FirmwareStatusNotification", { status: "Idle" });
  await call("DiagnosticsStatusNotification", { status: "Idle" });
  await call("DataTransfer", { vendorId: "x", data: "y" });
}

async function walk201() {
  const boot = { reason: "PowerUp", chargingStation: { vendorName: "Elsewhere", model: "Strict 201", firmwareVersion: "9.2", serialNumber: "S2" } };
  const status = (connectorStatus, evseId = 1) => call("StatusNotification", { timestamp: now(), connectorStatus, evseId, connectorId: 1 });
  obeys({
    Reset: () => ({ status: "Accepted", then: () => rebooted({ ...boot, reason: "RemoteReset" }) }),
    UnlockConnector: () => ({ status: "Unlocked" }),
    ChangeAvailability: () => ({ status: "Accepted" }),
    TriggerMessage: () => ({ status: "Accepted", then: () => status("Available") }),
    GetLog: ({ requestId }) => ({ status: "Accepted", filename: "log.zip", then: async () => {
      await call("LogStatusNotification", { status: "Uploading", requestId });
      await call("LogStatusNotification", { status: "PermissionDenied", requestId });
    } }),
  });
  const event = (eventType, triggerReason, seqNo, more = {}) => call("TransactionEvent", {
    eventType, triggerReason, seqNo, timestamp: now(), transactionInfo: { transactionId: "tx-1", ...more.info },
    evse: { id: 1, connectorId: 1 }, idToken: { idToken: "CARD1", type: "ISO14443" },
    meterValue: [{ timestamp: now(), sampledValue: [{ value: more.wh, measurand: "Energy.Active.Import.Register", unitOfMeasure: { unit: "Wh" } }] }] });
  await call("BootNotification", boot);
  await call("Heartbeat", {});
  await status("Available");
  await status("Available", 2);
  await call("Authorize", { idToken: { idToken: "CARD1", type: "ISO14443" } });
  await status("Occupied");
  await event("Started", "Authorized", 0, { wh: 1000, info: { chargingState: "Charging" } });
  await event("Updated", "MeterValuePeriodic", 1, { wh: 1500, info: { chargingState: "Charging" } });
  await event("Ended", "StopAuthorized", 2, { wh: 2000, info: { stoppedReason: "Local" } });
  await status("Faulted", 2);
  await call("NotifyEvent", { generatedAt: now(), seqNo: 0, eventData: [{ eventId: 1, timestamp: now(), trigger: "Alerting",
    actualValue: "true", techCode: "E7", eventNotificationType: "HardWiredNotification",
    component: { name: "Connector", evse: { id: 2, connectorId: 1 } }, variable: { name: "Problem" } }] });
  await call("MeterValues", { evseId: 2, meterValue: [{ timestamp: now(), sampledValue: [{ value: 1 }] }] });
  await call("FirmwareStatusNotification", { status: "Idle" });
  await call("LogStatusNotification", { status: "Idle" });
  await call("SecurityEventNotification", { type: "SettingSystemTime", timestamp: now() });
  await call("DataTransfer", { vendorId: "x" });
}

await charger.connect();
tell({ connected: charger.protocol });
await (protocol === "ocpp1.6" ? walk16 : walk201)();
tell({ walked: true });
process.stdin.resume();
process.stdin.on("end", async () => { await charger.close(); process.exit(0); });
