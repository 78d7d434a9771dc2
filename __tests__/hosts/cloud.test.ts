import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { start, until } from "../../cloud/program";
import { describeSuite } from "../../cloud/requirements";
import { TESTED } from "../../model/versions";
import { CloudProgram } from "../../testing/cloud-program";
import { USERS } from "../../testing/ssh-hosts";

const PROJECT = join(__dirname, "../..");
const KUBERNETES = { kubernetes: { version: TESTED.kubernetes } };
const NOT_UP = { status: 1, output: "cloud: it is not up: npm run cloud -- up\n" };

// Without root and a cloud.
test("download fills a folder for the mirror: whole files at the paths of their addresses, or one line", async () => {
  const cloud = new CloudProgram();
  const folder = mkdtempSync(join(tmpdir(), "mirror-"));
  const server = createServer(({ url }, response) => {
    if (url === "/old") response.writeHead(302, { Location: "/v1/new file" }).end();
    else if (url === "/v1/new%20file") response.end("content");
    else if (url === "/cut") response.writeHead(200, { "Content-Length": "9" }).write("cut", () => response.destroy());
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const file = join(folder, "127.0.0.1/old");
  expect(await cloud.run("download", folder, `${address}/old`)).toEqual({ status: 0, output: `${file}\n` });
  expect(readFileSync(file, "utf8")).toBe("content");
  for (const name of ["cut", "nothing"]) {
    const { status, output } = await cloud.run("download", folder, `${address}/${name}`);
    expect(status).toBe(1);
    expect(output).toMatch(new RegExp(`^cloud: ${address}/${name} cannot be downloaded: [^\\n]*\n$`));
  }
  for (const wrong of ["ftp://127.0.0.1/file", `${address}/folder/`, `${address}/a%2f..%2f..%2f..%2fout`, "file"]) {
    expect(await cloud.run("download", folder, wrong)).toEqual({
      status: 1,
      output: `cloud: an address must be https://HOST/PATH of a file, got: ${wrong}\n`,
    });
  }
  expect((await cloud.run("download", folder)).output).toContain("a folder and addresses are needed");
  expect(readdirSync(join(folder, "127.0.0.1"))).toEqual(["old"]);
  server.close();
  rmSync(folder, { recursive: true });
  cloud.remove();
});

describeSuite("the emulated cloud", () => {
  const cloud = new CloudProgram();
  afterAll(async () => {
    await cloud.run("down");
    cloud.remove();
  });

  const processId = (): number => JSON.parse(readFileSync(join(cloud.folder, "up.json"), "utf8")).pid;

  test("an unknown command is refused, with the most similar command", async () => {
    expect(await cloud.run("statsu")).toEqual({
      status: 1,
      output:
        "cloud: 'statsu' is not a command, did you mean 'status'? allowed: up, download, status, deploy, diff, ssh, exec, credentials, cluster, kubectl, conformance, stop, start, reboot, terminate, logs, destroy, down\n",
    });
    expect((await cloud.run("toString")).output).toMatch(/^cloud: 'toString' is not a command, /);
    const { status, output } = await cloud.run();
    expect(status).toBe(1);
    expect(output).toMatch(/^cloud: a command is missing\nnpm run cloud -- COMMAND .*\n\n {2}npm run cloud -- up /);
  });

  test("commands for a running cloud report that it is not up", async () => {
    const commands = [
      "status",
      "deploy",
      "diff",
      "ssh",
      "exec",
      "kubectl",
      "conformance",
      "stop",
      "reboot",
      "logs",
      "destroy",
    ];
    const ends = await Promise.all(commands.map((name) => cloud.run(name, ...(name === "status" ? [] : ["ls"]))));
    expect(ends).toEqual(commands.map(() => NOT_UP));
    expect(await cloud.run("down")).toEqual({ status: 0, output: "The cloud is not up.\n" });
  });

  test("status and down reject arguments; up rejects unknown options, and a mirror that is no folder", async () => {
    for (const name of ["status", "down"]) {
      expect(await cloud.run(name, "--bogus")).toEqual({
        status: 1,
        output: `cloud: ${name} takes no arguments, got: --bogus\n`,
      });
    }
    expect(await cloud.run("up", "--miror", "here")).toEqual({
      status: 1,
      output: "cloud: '--miror' is not an option, did you mean '--mirror'? allowed: --mirror\n",
    });
    expect(await cloud.run("up", "--mirror", "/nowhere")).toEqual({
      status: 1,
      output: "cloud: '--mirror' must be a folder with HOST/PATH for each file, got: /nowhere\n",
    });
  });

  test("machines download files of the mirror, and the log names what is missing", async () => {
    const mirror = mkdtempSync(join(tmpdir(), "mirror-"));
    mkdirSync(join(mirror, "dl.example"));
    writeFileSync(join(mirror, "dl.example/file"), "content");
    expect((await cloud.run("up", "--mirror", mirror)).status).toBe(0);
    const download = (name: string) =>
      cloud.run("exec", "curl", "--silent", "--fail", "--location", `http://198.51.100.1/dl.example/${name}`);
    expect(await download("file")).toEqual({ status: 0, output: "content" });
    expect((await download("nothing")).status).toBe(22);
    expect(readFileSync(join(cloud.folder, "cloud.log"), "utf8")).toContain("dl.example/nothing");
    cloud.configure(KUBERNETES);
    expect((await cloud.run("deploy")).output).toMatch(
      /^cloud: 'kubernetes\.downloads' must be the cloud's mirror, http:\/\/198\.51\.100\.1, got: another address \(/m,
    );
    cloud.configure({ kubernetes: { ...KUBERNETES.kubernetes, downloads: "http://198.51.100.1" } });
    expect((await cloud.run("deploy")).output).toContain(
      `the mirror ${mirror} must have the file dl.k8s.io/v${TESTED.kubernetes}/bin/linux/amd64/kubelet, got: none\n`,
    );
    await cloud.run("down");
    rmSync(mirror, { recursive: true });
  });

  test.each([
    ["/usr/bin/systemd-nspawn", "systemd-nspawn is missing: install systemd-container"],
    ["/usr/sbin/debootstrap", "debootstrap is missing: install debootstrap and debian-archive-keyring"],
    ["/usr/sbin/nft", "nftables is missing: install nftables"],
  ])("up without %s prints one line, and makes nothing", async (program, line) => {
    const hidden = ["unshare", "--mount", "sh", "-c", 'mount --bind /dev/null "$0" && exec "$@"', program];
    const up = [process.execPath, "--import", "tsx", "tools/cloud.ts", "up"];
    const env = { ...process.env, CLOUD_FOLDER: cloud.folder };
    expect(await start([...hidden, ...up], { cwd: PROJECT, env }).ended).toEqual({
      status: 1,
      output: `cloud: ${line}\n`,
    });
    expect(cloud.files).toEqual([]);
  });

  test("up starts one cloud and prints the next commands; down leaves nothing", async () => {
    const { status, output } = await cloud.run("up");
    expect(status).toBe(0);
    expect(output).toContain("npm run cloud -- deploy");
    expect(await cloud.run("up")).toEqual({
      status: 1,
      output: "cloud: it is already running: npm run cloud -- status\n",
    });
    expect((await cloud.run("status")).output).toContain("No machines: npm run cloud -- deploy\n");
    for (const args of [["ssh", "worker-0"], ["credentials"]]) {
      expect(await cloud.run(...args)).toEqual({
        status: 1,
        output: "cloud: nothing is deployed: npm run cloud -- deploy\n",
      });
    }
    cloud.configure(KUBERNETES);
    const deploy = await cloud.run("deploy");
    expect(deploy.status).toBe(1);
    expect(deploy.output).toMatch(
      /^cloud: a cluster with 'kubernetes' needs a cloud with a mirror: .* up --mirror DIR /m,
    );
    expect(await cloud.run("credentials")).toEqual({
      status: 2,
      output: expect.stringMatching(/^credentials: .* is not deployed, .*: run `npm run cloud -- deploy`\n$/),
    });

    expect(await cloud.run("down")).toEqual({ status: 0, output: "The cloud is down.\n" });
    expect(cloud.files).toEqual([]);
    expect(await cloud.run("status")).toEqual(NOT_UP);
  });

  test("up and down keep every file that the cloud has not made: installed programs, and a state of somebody's", async () => {
    const kept = ["kubernetes/v1/etcd", "prod.tfstate", "prod.tfstate.backup", "errored.tfstate", "note"];
    mkdirSync(join(cloud.folder, "kubernetes/v1"), { recursive: true });
    for (const path of kept) writeFileSync(join(cloud.folder, path), "mine");
    mkdirSync(join(cloud.folder, "clusters"));
    writeFileSync(join(cloud.folder, "clusters/terraform.lab.tfstate"), "of an earlier cloud");
    await cloud.run("up");
    expect(existsSync(join(cloud.folder, "clusters"))).toBe(false);
    await cloud.run("down");
    for (const path of kept) expect(readFileSync(join(cloud.folder, path), "utf8")).toBe("mine");
    expect(cloud.files).toEqual(["errored.tfstate", "kubernetes", "note", "prod.tfstate", "prod.tfstate.backup"]);
    for (const name of cloud.files) rmSync(join(cloud.folder, name), { recursive: true });
  });

  test("of several up at once, exactly one starts a cloud, and down leaves nothing of any", async () => {
    const sockets = () =>
      readdirSync(tmpdir()).filter((name) => name.startsWith("cloud-") && existsSync(join(tmpdir(), name, "aws.sock")));
    const before = sockets();
    const ends = await Promise.all([1, 2, 3].map(() => cloud.run("up")));
    expect(ends.filter(({ status }) => status === 0)).toHaveLength(1);
    for (const { output } of ends.filter(({ status }) => status !== 0)) {
      expect(output).toMatch(
        /^cloud: (another `up` or `down` is running: wait for its end|it is already running: .*)\n$/,
      );
    }
    expect(sockets()).toHaveLength(before.length + 1);
    await cloud.run("down");
    expect(sockets()).toEqual(before);
    expect(cloud.files).toEqual([]);
  });

  test("up prints one line if the emulator cannot be installed, and leaves nothing; pip runs as the project's owner", async () => {
    // A copy of the project, because it would install the emulator into its own folder.
    const copy = mkdtempSync(join(tmpdir(), "copy-"));
    try {
      for (const name of ["cloud", "model", "tools", "package.json", "tsconfig.json"]) {
        cpSync(join(PROJECT, name), join(copy, name), { recursive: true });
      }
      symlinkSync(join(PROJECT, "node_modules"), join(copy, "node_modules"));
      mkdirSync(join(copy, "log"), { mode: 0o777 });
      for (const path of [copy, join(copy, "log")]) chownSync(path, USERS.stranger, USERS.stranger);
      const env = {
        ...process.env,
        // The system's Python, which every user can run.
        PATH: `/usr/bin:${process.env.PATH}`,
        PIP_NO_INDEX: "1",
        PIP_FIND_LINKS: "/nowhere",
        PIP_LOG: join(copy, "log/pip"),
      };
      const command = [process.execPath, "--import", "tsx", "tools/cloud.ts", "up"];
      const { status, output } = await start(command, { cwd: copy, env }).ended;
      expect(status).toBe(1);
      expect(output).toMatch(
        /^Installing [^\n]*\ncloud: moto cannot be installed from the Python package index: [^\n]*\n$/,
      );
      expect(readdirSync(join(copy, ".cloud"))).toEqual([]);
      expect(statSync(join(copy, "log/pip")).uid).toBe(USERS.stranger);
    } finally {
      rmSync(copy, { recursive: true });
    }
  });

  test("the emulator's requirements are pinned with hashes, and name no index", () => {
    const lines = readFileSync(join(PROJECT, "cloud/requirements.txt"), "utf8")
      .split("\n")
      .filter((line) => /^[^#\s]/.test(line));
    const [onlyBinary, ...pinned] = lines;
    expect(onlyBinary).toBe("--only-binary :all:");
    for (const line of pinned) expect(line).toMatch(/^[\w.-]+==[\w.]+ \\$/);
  });

  test.each([["help"], ["--help"], ["up", "--help"]])("%s %s prints the commands", async (...args) => {
    expect(await cloud.run(...args.filter(Boolean))).toMatchObject({
      status: 0,
      output: expect.stringContaining("cloud -- up "),
    });
  });

  test("down ends the programs that run in the cloud", async () => {
    await cloud.run("up");
    const program = cloud.start(["exec", "sh", "-c", "echo under way; sleep 60"]);
    await until(() => program.output().includes("under way"), { what: program.output, process: program.process });
    await cloud.run("down");
    expect((await program.ended).status).not.toBe(0);
  });

  test("for another user, status, down and up print one line and change nothing", async () => {
    await cloud.run("up");
    chmodSync(cloud.folder, 0o755);
    const asStranger = (command: string) => {
      const user = String(USERS.stranger);
      const program = [
        "setpriv",
        "--reuid",
        user,
        "--regid",
        user,
        "--clear-groups",
        process.execPath,
        "--import",
        "tsx",
      ];
      const env = { ...process.env, CLOUD_FOLDER: cloud.folder };
      return start([...program, "tools/cloud.ts", command], { cwd: PROJECT, env }).ended;
    };
    for (const command of ["status", "down"]) {
      const { status, output } = await asStranger(command);
      expect(status).toBe(1);
      expect(output).toMatch(/^cloud: the cloud is another user's: run this as root, [^\n]*\n$/);
    }
    expect((await asStranger("up")).output).toMatch(/^cloud: root with network namespaces is missing: [^\n]*\n$/);
    expect((await cloud.run("status")).status).toBe(0);
    await cloud.run("down");
  });

  test("a cloud whose API is killed ends, and down removes its files", async () => {
    await cloud.run("up");
    const { pid, socket } = JSON.parse(readFileSync(join(cloud.folder, "up.json"), "utf8"));
    for (const emulator of processesWith(socket)) process.kill(emulator, "SIGKILL");
    await until(() => !isAlive(pid), { what: () => `${pid} ends` });
    expect(readFileSync(join(cloud.folder, "cloud.log"), "utf8")).toContain("the API has ended, so the cloud ends\n");
    expect(await cloud.run("down")).toEqual({
      status: 0,
      output: "The cloud was not running. Its files are removed.\n",
    });
    expect(cloud.files).toEqual([]);
  });

  test("a cloud that cannot start leaves no process", async () => {
    const mirror = mkdtempSync(join(tmpdir(), "mirror-"));
    writeFileSync(join(mirror, "images"), "a file, not a folder");
    const program =
      'require("./cloud/emulated-cloud").EmulatedCloud.open({ mirror: process.argv[1] }).catch(() => { process.exitCode = 1; })';
    const { status } = await start(
      [
        "timeout",
        "20",
        process.execPath,
        "--import",
        "tsx",
        "--input-type=commonjs",
        "-e",
        program,
        join(mirror, "images"),
      ],
      { cwd: PROJECT },
    ).ended;
    expect(status).toBe(1);
    rmSync(mirror, { recursive: true });
  });

  test("after a killed cloud, down removes its files, and up starts another", async () => {
    await cloud.run("up");
    process.kill(processId(), "SIGKILL");
    expect(await cloud.run("down")).toEqual({
      status: 0,
      output: "The cloud was not running. Its files are removed.\n",
    });
    expect(cloud.files).toEqual([]);

    await cloud.run("up");
    const killed = processId();
    process.kill(killed, "SIGKILL");
    await until(() => !isAlive(killed), { what: () => `${killed} ends` });
    expect(await cloud.run("status")).toEqual(NOT_UP);

    expect((await cloud.run("up")).status).toBe(0);
    expect(processId()).not.toBe(killed);
    expect((await cloud.run("down")).status).toBe(0);
  });
});

/** The processes with a text in their command lines. */
function processesWith(text: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => existsSync(`/proc/${pid}/cmdline`) && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(text));
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
