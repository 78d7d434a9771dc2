import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import type { HealthCheck, LoadBalancerConfig, TargetGroup } from "../../cloud/load-balancer/config";
import { LoadBalancer } from "../../cloud/load-balancer/load-balancer";
import { inside } from "../../cloud/namespace";
import { ENDS_WITH_PARENT, until } from "../../cloud/program";
import { describeSuite } from "../../cloud/requirements";

const BALANCER = "10.9.0.200";
const CLIENT = "10.9.0.50";
const TARGETS = ["10.9.0.10", "10.9.0.11", "10.9.0.12"] as const;
const [FIRST, SECOND, THIRD] = TARGETS;
const PORT = 6443;
const GROUP = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/api/1";

const CHECK: HealthCheck = {
  protocol: "TCP",
  port: "traffic-port",
  interval: 0.2,
  timeout: 0.15,
  healthyThreshold: 2,
  unhealthyThreshold: 2,
};

/** A target: greets with its address and the client's, returns what it gets, and says goodbye after the client's end. */
const TARGET_PROGRAM = `
  const [address, port] = process.argv.slice(1);
  require("node:net").createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {}).write(address + " " + socket.remoteAddress + " " + socket.remotePort + "\\n");
    socket.pipe(socket, { end: false });
    socket.on("end", () => socket.end("bye\\n"));
  }).listen(port, address, () => console.log("ready"));
`;

/** A client: copies its input to the connection and the connection to its output, and prints the local port and the end. */
const CLIENT_PROGRAM = `
  const [host, port, localPort] = process.argv.slice(1);
  const socket = require("node:net").connect({ host, port, localPort: Number(localPort), allowHalfOpen: true });
  process.stdin.pipe(socket);
  socket.on("connect", () => console.log("port " + socket.localPort));
  socket.on("data", (data) => process.stdout.write(data));
  socket.on("end", () => console.log("ended"));
  socket.on("error", (error) => { console.log(error.code); process.exit(); });
`;

/** Opens many connections, and prints the first word or the error of each. */
const CONNECTIONS_PROGRAM = `
  const [host, port, count] = process.argv.slice(1);
  for (let i = 0; i < count; i++) {
    const socket = require("node:net").connect({ host, port });
    const end = (result) => { console.log(result); socket.destroy(); };
    socket.once("data", (data) => end(String(data).split(" ")[0])).once("error", (error) => end(error.code));
  }
`;

/** A client that sends without end, and does not read what the target returns. Prints when it could not send for a second. */
const FLOOD_PROGRAM = `
  const [host, port] = process.argv.slice(1);
  const socket = require("node:net").connect({ host, port }).pause();
  const piece = Buffer.alloc(65536);
  const send = () => { while (socket.write(piece)); timer.refresh(); };
  const timer = setTimeout(() => console.log("stopped"), 1000);
  socket.on("connect", send).on("drain", send);
`;

/** A web server at port 8443: http or https, with a status. It writes the path and headers of each request. */
const WEB_PROGRAM = `
  const [protocol, address, status, options] = process.argv.slice(1);
  require("node:" + protocol).createServer(JSON.parse(options), (request, response) => {
    console.log(request.url + " " + request.headers.host + " " + request.headers["user-agent"]);
    response.writeHead(status).end();
  }).listen(8443, address, () => console.log("ready"));
`;

interface Client {
  readonly output: () => string;
  write(text: string): void;
  end(): void;
}

/** A certificate that nobody knows, for one day, with its key. */
function createCertificate(): { readonly key: string; readonly cert: string } {
  const options =
    "-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=target -days 1 -keyout - -out -";
  const pem = execFileSync("openssl", ["req", ...options.split(" ")], { encoding: "utf8", stdio: "pipe" });
  return { key: pem, cert: pem };
}

describeSuite("networks of the emulated cloud", () => {
  const processes: ChildProcess[] = [];
  const namespaces = new Map<string, string>();
  const targets = new Map<string, ChildProcess>();
  let balancer: LoadBalancer;
  let log: string[];
  let certificate: { readonly key: string; readonly cert: string };

  /** A network namespace that lasts as long as this test. */
  async function createNamespace(name: string): Promise<number> {
    const holder = spawn("setpriv", ["--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity"]);
    processes.push(holder);
    const path = `/proc/${holder.pid}/ns/net`;
    await until(() => readlinkSync(path) !== readlinkSync("/proc/self/ns/net"), { what: () => path, process: holder });
    namespaces.set(name, path);
    return holder.pid as number;
  }

  function run(namespace: string, ...command: readonly string[]): string {
    return execFileSync("nsenter", [`--net=${namespaces.get(namespace)}`, ...command], { encoding: "utf8" });
  }

  function startNode(namespace: string, program: string, ...args: readonly (string | number)[]): ChildProcess {
    const command = [process.execPath, "-e", program, ...args.map(String)];
    const [setpriv, ...rest] = [...ENDS_WITH_PARENT, ...inside(namespaces.get(namespace) as string), ...command];
    const child = spawn(setpriv as string, rest);
    processes.push(child);
    return child;
  }

  function outputOf(child: ChildProcess): () => string {
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding("utf8").on("data", (text) => (output += text));
    return () => output;
  }

  /** A machine, joined to the router as machines of the emulated cloud are. */
  async function attach(address: string): Promise<void> {
    const holder = await createNamespace(address);
    const device = `p${address.split(".").at(-1)}`;
    run("router", "ip", "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", String(holder));
    run("router", "ip", "link", "set", device, "up");
    run("router", "sysctl", "-qw", `net.ipv4.conf.${device}.proxy_arp=1`, `net.ipv4.neigh.${device}.proxy_delay=0`);
    run("router", "ip", "route", "add", `${address}/32`, "dev", device);
    run(address, "ip", "link", "set", "lo", "up");
    run(address, "ip", "address", "add", `${address}/24`, "dev", "eth0");
    run(address, "ip", "link", "set", "eth0", "up");
  }

  async function startTarget(address: string, port = PORT): Promise<void> {
    const child = startNode(address, TARGET_PROGRAM, address, port);
    const output = outputOf(child);
    targets.set(address, child);
    await until(() => output().includes("ready"), { what: output, process: child });
  }

  function stopTarget(address: string): void {
    targets.get(address)?.kill("SIGKILL");
  }

  function connect({ host = BALANCER, localPort = 0 } = {}): Client {
    const child = startNode(CLIENT, CLIENT_PROGRAM, host, PORT, localPort);
    const output = outputOf(child);
    return { output, write: (text) => child.stdin?.write(text), end: () => child.stdin?.end() };
  }

  async function shows(client: Client, text: string): Promise<void> {
    await until(() => client.output().includes(text), { what: () => `${text} in ${client.output()}`, seconds: 5 });
  }

  /** Opens connections, and returns the targets that they reached, and the errors. */
  async function reachedBy(count: number): Promise<Set<string>> {
    const child = startNode(CLIENT, CONNECTIONS_PROGRAM, BALANCER, PORT, count);
    const output = outputOf(child);
    const results = () => output().split("\n").filter(Boolean);
    await until(() => results().length === count, { what: output, seconds: 10 });
    return new Set(results());
  }

  function config(group: Partial<TargetGroup> = {}, other: Partial<LoadBalancerConfig> = {}): LoadBalancerConfig {
    const targets = TARGETS.map((ip) => ({ ip, port: PORT }));
    const targetGroup = { arn: GROUP, targets, healthCheck: CHECK, preserveClientIp: false, ...group };
    const listeners = [{ port: PORT, targetGroup: GROUP }];
    return { addresses: [BALANCER], listeners, targetGroups: [targetGroup], ...other };
  }

  function targetList(...addresses: readonly string[]): TargetGroup["targets"] {
    return addresses.map((ip) => ({ ip, port: PORT }));
  }

  async function healthIs(...expected: readonly string[]): Promise<void> {
    const health = () => Object.values(balancer.health()[GROUP] ?? {}).join();
    await until(() => health() === expected.join(), { what: () => `${expected}: ${health()}`, seconds: 5 });
  }

  beforeAll(async () => {
    certificate = createCertificate();
    await createNamespace("router");
    // Without any local address, Linux takes each address for a broadcast address.
    run("router", "ip", "link", "set", "lo", "up");
    run("router", "sysctl", "-qw", "net.ipv4.ip_forward=1");
    await Promise.all([BALANCER, CLIENT, ...TARGETS].map(attach));
  });

  beforeEach(async () => {
    log = [];
    const [namespace, router] = [BALANCER, "router"].map((name) => namespaces.get(name)) as [string, string];
    [balancer] = await Promise.all([
      LoadBalancer.start({ namespace, router, log: (line) => log.push(line) }),
      ...TARGETS.map((address) => startTarget(address)),
    ]);
  });

  afterEach(async () => {
    await balancer.close();
    for (const address of TARGETS) stopTarget(address);
  });

  afterAll(() => {
    for (const child of processes) child.kill("SIGKILL");
  });

  test("connections reach all healthy targets, which see the load balancer's address", async () => {
    await balancer.configure(config());
    await healthIs("healthy", "healthy", "healthy");
    expect(await reachedBy(32)).toEqual(new Set(TARGETS));
    const client = connect();
    await shows(client, ` ${BALANCER} `);
  });

  test("a connection half-closed by the client goes on in the other direction, and data arrives unchanged", async () => {
    await balancer.configure(config());
    await healthIs("healthy", "healthy", "healthy");
    const client = connect();
    await shows(client, BALANCER);
    client.write("hello\n");
    await shows(client, "hello\n");
    client.end();
    await shows(client, "bye\nended\n");
  });

  test("targets see the client's address and port, if it is preserved", async () => {
    await balancer.configure(config({ preserveClientIp: true }));
    await healthIs("healthy", "healthy", "healthy");
    const clients = Array.from({ length: 8 }, () => connect());
    for (const client of clients) {
      await shows(client, ` ${CLIENT} `);
      const [, port] = /^port (\d+)/.exec(client.output()) as RegExpExecArray;
      expect(client.output()).toContain(` ${CLIENT} ${port}\n`);
    }
    const elements = () => run("router", "nft", "list", "ruleset").split(` : ${CLIENT}`).length - 1;
    expect(elements()).toBe(8);
    for (const client of clients) client.end();
    await until(() => elements() === 0, { what: () => run("router", "nft", "list", "ruleset") });
    await balancer.close();
    expect(run("router", "nft", "list", "tables")).toBe("");
  });

  test("a client that has left a target reaches it again from the same port, through the load balancer", async () => {
    await balancer.configure(config({ targets: targetList(FIRST), preserveClientIp: true }));
    await healthIs("healthy");
    const localPort = 40_000;
    const direct = connect({ host: FIRST, localPort });
    await shows(direct, ` ${CLIENT} ${localPort}\n`);
    direct.end();
    await shows(direct, "ended");
    await shows(connect({ localPort }), ` ${CLIENT} ${localPort}\n`);
  });

  test("connections to a target that becomes unhealthy are reset, others stay; new ones reach the healthy targets", async () => {
    await balancer.configure(config());
    await healthIs("healthy", "healthy", "healthy");
    const clients = Array.from({ length: 8 }, () => connect());
    for (const client of clients) await shows(client, ` ${BALANCER} `);
    // Frozen, it neither answers nor resets its connections.
    run(
      FIRST,
      "nft",
      "add table ip frozen; add chain ip frozen in { type filter hook input priority 0; policy drop; }",
    );
    await healthIs("unhealthy", "healthy", "healthy");
    for (const client of clients) {
      if (client.output().includes(FIRST)) await shows(client, "ECONNRESET");
      else expect(client.output()).not.toContain("ECONNRESET");
    }
    expect(await reachedBy(16)).toEqual(new Set([SECOND, THIRD]));
    run(FIRST, "nft", "delete table ip frozen");
    await healthIs("healthy", "healthy", "healthy");
    expect(await reachedBy(32)).toEqual(new Set(TARGETS));
  });

  test("with one healthy target, all connections reach it; with none, connections go to all targets", async () => {
    await balancer.configure(config());
    await healthIs("healthy", "healthy", "healthy");
    stopTarget(FIRST);
    stopTarget(SECOND);
    await healthIs("unhealthy", "unhealthy", "healthy");
    expect(await reachedBy(12)).toEqual(new Set([THIRD]));

    const last = connect();
    await shows(last, THIRD);
    // The targets still answer, but not the health check.
    await startTarget(FIRST, PORT);
    await balancer.configure(config({ healthCheck: { ...CHECK, port: 1 } }));
    await healthIs("unhealthy", "unhealthy", "unhealthy");
    // The second is stopped. There is no other attempt with a target that answers.
    expect(await reachedBy(32)).toEqual(new Set([FIRST, "ECONNRESET", THIRD]));
    last.write("still here\n");
    await shows(last, "still here\n");
  });

  test("a target is used only after a passed check, and an unhealthy one after as many as its threshold", async () => {
    stopTarget(SECOND);
    await balancer.configure(config({ healthCheck: { ...CHECK, healthyThreshold: 10, unhealthyThreshold: 10 } }));
    await healthIs("healthy", "initial", "healthy");
    expect(await reachedBy(16)).toEqual(new Set([FIRST, THIRD]));
    await healthIs("healthy", "unhealthy", "healthy");
    await startTarget(SECOND);
    const started = Date.now();
    await healthIs("healthy", "healthy", "healthy");
    expect(Date.now() - started).toBeGreaterThan(9 * CHECK.interval * 1000 - 200);
  });

  test("connections to a deregistered target are reset, and a change does not touch other connections", async () => {
    await balancer.configure(config({ targets: targetList(FIRST) }));
    await healthIs("healthy");
    const client = connect();
    await shows(client, FIRST);
    await balancer.configure(config({ targets: targetList(FIRST, SECOND), preserveClientIp: true }));
    await healthIs("healthy", "healthy");
    client.write("still here\n");
    await shows(client, "still here\n");
    await balancer.configure(config({ targets: targetList(SECOND) }));
    await shows(client, "ECONNRESET");
    expect(await reachedBy(4)).toEqual(new Set([SECOND]));
  });

  test("without a target, connections are reset; without a listener, they are refused", async () => {
    await balancer.configure(config({ targets: [] }));
    expect(await reachedBy(2)).toEqual(new Set(["ECONNRESET"]));
    await balancer.configure(config({}, { listeners: [] }));
    expect(await reachedBy(2)).toEqual(new Set(["ECONNREFUSED"]));
  });

  test("the program ends with the process that started it, also if that is killed", async () => {
    const props = { namespace: namespaces.get(BALANCER), router: namespaces.get("router") };
    const script = `require("./cloud/load-balancer/load-balancer").LoadBalancer
      .start({ ...${JSON.stringify(props)}, log: console.log })
      .then((balancer) => balancer.configure(${JSON.stringify(config())}).then(() => console.log("pid " + balancer.pid)))`;
    const parent = spawn(process.execPath, ["--import", "tsx", "-e", script], { cwd: join(__dirname, "../..") });
    const output = outputOf(parent);
    await until(() => /pid \d+\n/.test(output()), { what: output, process: parent });
    const [, pid] = /pid (\d+)/.exec(output()) as RegExpExecArray;
    expect(existsSync(`/proc/${pid}`)).toBe(true);
    parent.kill("SIGKILL");
    await until(() => !existsSync(`/proc/${pid}`), { what: () => `the end of ${pid}`, seconds: 5 });
  });

  test("a listener must name a target group", async () => {
    const listeners = [{ port: PORT, targetGroup: "other" }];
    await expect(balancer.configure(config({}, { listeners }))).rejects.toThrow(
      `targetGroup of listener 6443 must be one of the target groups (${GROUP}), got "other"`,
    );
  });

  test("an address that the machine gets later is used as soon as it has it", async () => {
    const address = "10.9.0.201";
    await balancer.configure(config({}, { addresses: [BALANCER, address] }));
    expect(log).toContain(`cannot listen at ${address}:${PORT} yet (EADDRNOTAVAIL)`);
    run("router", "ip", "route", "add", `${address}/32`, "dev", "p200");
    run(BALANCER, "ip", "address", "add", `${address}/32`, "dev", "eth0");
    await until(() => run(BALANCER, "ss", "-ltn").includes(address), { what: () => run(BALANCER, "ss", "-ltn") });
    await shows(connect({ host: address }), "10.9.0.1");
  });

  test("connections without data are reset after the idle time-out", async () => {
    const listeners = [{ port: PORT, targetGroup: GROUP, idleTimeout: 1 }];
    await balancer.configure(config({}, { listeners }));
    const [idle, busy] = [connect(), connect()];
    await shows(idle, BALANCER);
    await shows(busy, BALANCER);
    const timer = setInterval(() => busy.write("."), 300).unref();
    await shows(idle, "ECONNRESET");
    clearInterval(timer);
    expect(busy.output()).not.toContain("ECONNRESET");
    await shows(busy, "ECONNRESET");
  });

  test("a client that does not read stops its target, and needs little memory", async () => {
    await balancer.configure(config({ targets: targetList(FIRST) }));
    await healthIs("healthy");
    const memory = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${balancer.pid}/status`, "utf8"))?.[1]);
    const before = memory();
    const flood = outputOf(startNode(CLIENT, FLOOD_PROGRAM, BALANCER, PORT));
    await until(() => flood().includes("stopped"), { what: flood, seconds: 10 });
    expect(memory() - before).toBeLessThan(32 * 1024);
  });

  describe.each(["HTTP", "HTTPS"] as const)("health checks by %s", (protocol) => {
    const check: HealthCheck = { ...CHECK, protocol, port: 8443, path: "/readyz", timeout: 1, matcher: "200,300-302" };

    async function startWeb(address: string, status: number, tls: object = {}): Promise<() => string> {
      const options = JSON.stringify({ ...certificate, ...tls });
      const child = startNode(address, WEB_PROGRAM, protocol.toLowerCase(), address, status, options);
      const output = outputOf(child);
      targets.set(`${address} web`, child);
      await until(() => output().includes("ready"), { what: output, process: child });
      return output;
    }

    afterEach(() => {
      for (const address of TARGETS) stopTarget(`${address} web`);
    });

    test("pass with a status of the matcher", async () => {
      const [requests] = await Promise.all([startWeb(FIRST, 302), startWeb(SECOND, 303), startWeb(THIRD, 200)]);
      await balancer.configure(config({ healthCheck: check }));
      await healthIs("healthy", "unhealthy", "healthy");
      expect(await reachedBy(12)).toEqual(new Set([FIRST, THIRD]));
      expect(requests()).toContain(`/readyz ${BALANCER}:${PORT} ELB-HealthChecker/2.0`);
    });

    test("need TLS 1.2 or no TLS, and fail without an answer", async () => {
      await Promise.all([startWeb(FIRST, 200), startWeb(SECOND, 200, { minVersion: "TLSv1.3" }), startWeb(THIRD, 200)]);
      targets.get(`${THIRD} web`)?.kill("SIGSTOP");
      await balancer.configure(config({ healthCheck: { ...check, timeout: 0.5 } }));
      await healthIs("healthy", protocol === "HTTPS" ? "unhealthy" : "healthy", "unhealthy");
    });
  });
});
