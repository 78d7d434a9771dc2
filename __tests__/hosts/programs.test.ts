import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import { hostname, tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { buffer, text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { type Header, pack } from "tar-stream";
import { createMirror } from "../../cloud/mirror/server";
import { ENDS_WITH_PARENT, OWN_PROCESSES, until } from "../../cloud/program";
import { describeSuite } from "../../cloud/requirements";

const SCRIPT = join(__dirname, "../../kubernetes/scripts/programs.sh");

/** Gives the script its own /usr/local and /opt. */
const MACHINE_SCRIPT = 'mount --bind "$0/local" /usr/local; mount --bind "$0/opt" /opt; exec "$@"';

/** As {@link MACHINE_SCRIPT}, but with a new disk of 1 MB. It prints the files on the disk. */
const DISK_SCRIPT =
  'mount -t tmpfs -o size=1m tmpfs /usr/local; "$@" && status=0 || status=$?; find /usr/local -type f; exit $status';

function sha256(content: string | Buffer): string {
  return createHash("sha256").update(content).digest("hex");
}

/** A program that prints a line. Its size is that of a release's in thousandths. */
function program(line: string): Buffer {
  return Buffer.from(`#!/bin/sh\necho ${line}\nexit\n${"#".repeat(80_000)}\n`);
}

type Entry = Partial<Header> & { readonly name: string; readonly content?: Buffer };

/** A compressed archive. */
async function archive(...entries: readonly Entry[]): Promise<Buffer> {
  const tar = pack();
  for (const { content, ...header } of entries) tar.entry(header, content ?? Buffer.alloc(0));
  tar.finalize();
  return gzipSync(await buffer(tar));
}

/** A line of a table. */
interface Row {
  readonly name: string;
  readonly version?: string;
  readonly kind?: string;
  readonly folder?: string;
  readonly sum?: string;
  readonly url: string;
  readonly sumUrl?: string;
  readonly members?: string;
}

function line({
  name,
  version = "1.0.0",
  kind = "program",
  folder = "/usr/local/bin",
  sum = "-",
  ...row
}: Row): string {
  const { url, sumUrl = `${url}.sha256`, members = name } = row;
  return `${[name, version, kind, folder, sum, url, sumUrl, members].join(" ")}\n`;
}

interface Result {
  /** The exit status; null after a signal. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

describeSuite("programs on a machine", () => {
  let scratch: string;
  let mirror: Server;
  let base: string;
  /** The paths that the mirror was asked for. */
  let requests: string[];
  const servers: Server[] = [];

  /** The folder that is /usr/local/lib/kubernetes/programs on the machine. */
  const programs = (...path: string[]) => join(scratch, "local/lib/kubernetes/programs", ...path);

  function serve(path: string, content: string | Buffer): Buffer {
    const file = join(scratch, "mirror", path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
    return Buffer.from(content);
  }

  async function listen(server: Server): Promise<string> {
    servers.push(server);
    await once(server.listen(0, "127.0.0.1"), "listening");
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  /** Starts a server. @returns its address */
  function host(listener: RequestListener): Promise<string> {
    return listen(createServer(listener));
  }

  function spawnScript(prefix: readonly string[], script: string, args: readonly string[]) {
    const [setpriv, ...rest] = [...ENDS_WITH_PARENT, ...prefix, "sh", "-ec", script, scratch, SCRIPT, ...args];
    const child = spawn(setpriv as string, rest, { stdio: ["ignore", "pipe", "pipe"], cwd: scratch });
    const result = Promise.all([text(child.stdout), text(child.stderr), once(child, "exit")]).then(
      ([stdout, stderr, [status]]): Result => ({ status, stdout, stderr }),
    );
    return { child, result };
  }

  function write(table: string | readonly Row[], name = "table"): string {
    const file = join(scratch, name);
    writeFileSync(file, typeof table === "string" ? table : table.map(line).join(""));
    return file;
  }

  async function run(
    command: string,
    table: string | readonly Row[],
    { script = MACHINE_SCRIPT, name }: { script?: string; name?: string } = {},
  ): Promise<Result> {
    return spawnScript(["unshare", "--mount"], script, [write(table, name), command]).result;
  }

  /** Runs the script, and expects that it succeeds. @returns its lines */
  async function lines(command: string, table: string | readonly Row[]): Promise<string[]> {
    const { status, stdout, stderr } = await run(command, table);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    return stdout.split("\n").slice(0, -1);
  }

  /** The entries in a folder of the machine: type and permission bits, owner and group. */
  function tree(folder: string): Record<string, string> {
    const names = readdirSync(folder, { recursive: true, encoding: "utf8" }).sort();
    return Object.fromEntries(
      names.map((name) => {
        const { mode, uid, gid } = lstatSync(join(folder, name));
        return [name, `${mode.toString(8)} ${uid}:${gid}`];
      }),
    );
  }

  const FILE = "100755 0:0";
  const FOLDER = "40755 0:0";
  const SUM = "100644 0:0";

  /** What {@link tree} has for a release in place. */
  function inPlace(name: string, version: string, ...members: readonly string[]): Record<string, string> {
    const files = [...members.map((member) => [member, FILE]), ["sha256", SUM]];
    return Object.fromEntries([
      [name, FOLDER],
      [`${name}/${version}`, FOLDER],
      ...files.map(([file, mode]) => [`${name}/${version}/${file}`, mode]),
    ]);
  }

  /** The table of a worker, with the forms of sums and archives that release hosts have. */
  async function worker(version = "1.37.2"): Promise<Row[]> {
    const row = (path: string) => ({ version, url: `${base}/${path}` });
    const k8s = `dl.k8s.io/v${version}/bin`;
    const kubelet = serve(`${k8s}/kubelet`, program(`kubelet ${version}`));
    // Without a line's end, as on the release host.
    serve(`${k8s}/kubelet.sha256`, sha256(kubelet));
    const kubectl = serve(`${k8s}/kubectl`, program(`kubectl ${version}`));
    const runc = serve(`runc/v${version}/runc.amd64`, program(`runc ${version}`));
    serve(
      `runc/v${version}/runc.sha256sum`,
      `-----BEGIN-----\n\n${sha256("x")}  runc.arm64\n${sha256(runc)} *runc.amd64\n${sha256("y")}  libseccomp.tar.gz\n`,
    );
    const etcd = serve(
      `etcd/v${version}/etcd-linux-amd64.tar.gz`,
      await archive(
        { name: "etcd-linux-amd64/", type: "directory", mode: 0o777, uid: 1000 },
        { name: "etcd-linux-amd64/etcd", mode: 0o4777, uid: 1000, gid: 1000, content: program(`etcd ${version}`) },
        { name: "etcd-linux-amd64/etcdctl", content: program(`etcdctl ${version}`) },
        { name: "etcd-linux-amd64/README.md", content: Buffer.from("not wanted") },
      ),
    );
    serve(`etcd/v${version}/SHA256SUMS`, `${sha256("z")}  etcd.zip\r\n${sha256(etcd)}  ./etcd-linux-amd64.tar.gz\r\n`);
    const cni = await archive(
      { name: "./", type: "directory" },
      { name: "./bridge", content: program(`bridge ${version}`) },
      { name: "./loopback", content: program(`loopback ${version}`) },
    );
    serve(`cni/v${version}/cni.tgz`, cni);
    return [
      {
        ...row(`etcd/v${version}/etcd-linux-amd64.tar.gz`),
        name: "etcd",
        kind: "archive",
        sumUrl: `${base}/etcd/v${version}/SHA256SUMS`,
        members: "etcd-linux-amd64/etcd etcd-linux-amd64/etcdctl",
      },
      {
        ...row(`cni/v${version}/cni.tgz`),
        name: "cni-plugins",
        kind: "archive",
        folder: "/opt/cni/bin",
        sum: sha256(cni),
        members: "bridge ./loopback",
      },
      { ...row(`${k8s}/kubelet`), name: "kubelet" },
      { ...row(`${k8s}/kubectl`), name: "kubectl", sum: sha256(kubectl) },
      { ...row(`runc/v${version}/runc.amd64`), name: "runc", sumUrl: `${base}/runc/v${version}/runc.sha256sum` },
    ];
  }

  /** What is in place for {@link worker}. */
  function workerInPlace(version = "1.37.2"): Record<string, string> {
    return {
      ...inPlace("etcd", version, "etcd", "etcdctl"),
      ...inPlace("cni-plugins", version, "bridge", "loopback"),
      ...inPlace("kubelet", version, "kubelet"),
      ...inPlace("kubectl", version, "kubectl"),
      ...inPlace("runc", version, "runc"),
    };
  }

  const LINKS = [
    ...["etcd", "etcdctl", "kubelet", "kubectl", "runc"].map((name) => `/usr/local/bin/${name}`),
    ...["bridge", "loopback"].map((name) => `/opt/cni/bin/${name}`),
  ];

  /** A link's place on this machine. */
  const placeOf = (link: string) => join(scratch, link.replace(/^\/usr/, ""));

  /** The programs of the worker's links, by what each prints. They run on the machine. */
  async function linked(): Promise<string[]> {
    const script = `${MACHINE_SCRIPT.replace('exec "$@"', "")} for link in ${LINKS.join(" ")}; do $link; done`;
    const { stdout } = await spawnScript(["unshare", "--mount"], script, []).result;
    return stdout.split("\n").slice(0, -1);
  }

  beforeAll(async () => {
    scratch = mkdtempSync(join(tmpdir(), "programs-"));
    chmodSync(scratch, 0o755);
    mkdirSync(join(scratch, "mirror"));
    mirror = createMirror({ folder: join(scratch, "mirror"), cache: join(scratch, "cache"), log: () => {} });
    mirror.on("request", ({ url }) => requests.push(url as string));
    base = await listen(mirror);
  });

  /** The end of a download from a slow host. It takes a minute, so the other tests run meanwhile. */
  let slow: Promise<Result>;

  beforeAll(async () => {
    const url = await host((_, response) => {
      const timer = setInterval(() => response.write("x"), 1000);
      response.on("close", () => clearInterval(timer));
    });
    slow = run("fetch", [{ name: "slow", url: `${url}/slow` }], { script: DISK_SCRIPT, name: "slow" });
  });

  beforeEach(() => {
    requests = [];
    for (const name of ["local", "opt"]) {
      rmSync(join(scratch, name), { recursive: true, force: true });
      mkdirSync(join(scratch, name));
    }
    // As on Debian, where new files get the group.
    chownSync(join(scratch, "local"), 0, 50);
    chmodSync(join(scratch, "local"), 0o2775);
  });

  afterAll(() => {
    for (const server of servers) {
      server.closeAllConnections();
      server.close();
    }
    rmSync(scratch, { recursive: true });
  });

  describe("fetch", () => {
    test("puts each release into place, and keeps it", async () => {
      const table = await worker();
      const first = await lines("fetch", table);
      expect(tree(programs())).toEqual(workerInPlace());
      expect(tree(programs("../..")).kubernetes).toBe(FOLDER);
      expect(tree(programs(".."))).toMatchObject({ programs: FOLDER });
      expect(first.filter((each) => each.startsWith("warning")).sort()).toEqual(
        [2, 0, 4]
          .map((index) => table[index] as Row)
          .map(
            ({ name, url, sumUrl = `${url}.sha256` }) =>
              `warning: ${name} 1.37.2: its sum comes from the same host as the program: ${sumUrl}`,
          )
          .sort(),
      );
      expect(first.filter((each) => !each.startsWith("warning")).sort()).toEqual(
        ["cni-plugins", "etcd", "kubectl", "kubelet", "runc"].map((name) =>
          expect.stringMatching(`^${name} 1.37.2: downloaded in \\d+\\.\\d s$`),
        ),
      );
      expect(readFileSync(programs("cni-plugins/1.37.2/sha256"), "utf8")).toBe(`${table[1]?.sum}\n`);
      expect(readFileSync(programs("runc/1.37.2/runc"))).toEqual(program("runc 1.37.2"));

      // Each file has a redirect, and is asked for once.
      expect(requests).toHaveLength(2 * 8);
      const inodes = () => Object.keys(workerInPlace()).map((name) => lstatSync(programs(name)).ino);
      const before = inodes();
      expect(await lines("fetch", table)).toEqual(table.map(({ name }) => `${name} 1.37.2: already here`));
      expect(requests).toHaveLength(2 * 8);
      expect(inodes()).toEqual(before);
    });

    test("another version comes beside", async () => {
      await lines("fetch", await worker("1.37.1"));
      await lines("fetch", await worker("1.37.2"));
      expect(tree(programs())).toEqual({ ...workerInPlace("1.37.1"), ...workerInPlace("1.37.2") });
    });

    test.each([
      ["a program is missing", () => rmSync(programs("etcd/1.37.2/etcdctl"))],
      [
        "a program is a link",
        () => {
          rmSync(programs("etcd/1.37.2/etcdctl"));
          symlinkSync("/bin/true", programs("etcd/1.37.2/etcdctl"));
        },
      ],
      ["the sum is missing", () => rmSync(programs("etcd/1.37.2/sha256"))],
      [
        "the folder is a file",
        () => {
          rmSync(programs("etcd/1.37.2"), { recursive: true });
          writeFileSync(programs("etcd/1.37.2"), "");
        },
      ],
      [
        "a killed run has left files",
        () => {
          rmSync(programs("etcd/1.37.2"), { recursive: true });
          mkdirSync(programs(".incomplete/other"), { recursive: true });
        },
      ],
    ])("a release that is not complete is downloaded again: %s", async (_, damage) => {
      const table = await worker();
      await lines("fetch", table);
      damage();
      expect(await lines("fetch", table)).toContainEqual(expect.stringMatching("^etcd 1.37.2: downloaded in "));
      expect(tree(programs())).toEqual(workerInPlace());
    });

    test("a release with another sum than the table's is downloaded again", async () => {
      const url = `${base}/tool`;
      const [first, second] = [program("first"), program("second")];
      serve("tool", first);
      await lines("fetch", [{ name: "tool", url, sum: sha256(first) }]);
      serve("tool", second);
      expect(await lines("fetch", [{ name: "tool", url, sum: sha256(second) }])).toHaveLength(1);
      expect(readFileSync(programs("tool/1.0.0/tool"))).toEqual(second);
      expect(readFileSync(programs("tool/1.0.0/sha256"), "utf8")).toBe(`${sha256(second)}\n`);
    });

    test("four downloads run at one time", async () => {
      const waiting: (() => void)[] = [];
      const most: number[] = [];
      const url = await host((_, response) => {
        waiting.push(() => response.end("x"));
        most.push(waiting.length);
        // The fourth answers all. A fifth has time to come.
        if (waiting.length === 4)
          setTimeout(() => {
            for (const answer of waiting.splice(0)) answer();
          }, 300);
      });
      const names = ["a", "b", "c", "d", "e", "f", "g", "h"];
      await lines(
        "fetch",
        names.map((name) => ({ name, url: `${url}/${name}`, sum: sha256("x") })),
      );
      expect(Math.max(...most)).toBe(4);
    });

    test("a failure that may pass is repeated", async () => {
      let count = 0;
      const url = await host((_, response) => {
        count += 1;
        if (count === 1) response.writeHead(503).end();
        else if (count === 2) response.writeHead(200, { "content-length": "100" }).write("x", () => response.destroy());
        else response.end("x");
      });
      const row = { name: "tool", url: `${url}/tool`, sum: sha256("x") };
      expect(await lines("fetch", [row])).toEqual([
        "tool 1.0.0: attempt 2 of 4, because of: The requested URL returned error: 503",
        expect.stringMatching("^tool 1.0.0: attempt 3 of 4, because of: "),
        expect.stringMatching("^tool 1.0.0: downloaded in "),
      ]);
      expect(readFileSync(programs("tool/1.0.0/tool"), "utf8")).toBe("x");
    });

    test("by https, if the certificate is trusted", async () => {
      const [key, cert] = [join(scratch, "key.pem"), join(scratch, "cert.pem")];
      const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"];
      const options = ["-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, ...subject];
      execFileSync("openssl", ["req", ...options], { stdio: "ignore" });
      serve("tool", "x");
      const server = createSecureServer({ key: readFileSync(key), cert: readFileSync(cert) }, ({ url }, response) => {
        if (url === "/tool") response.end("x");
        else response.writeHead(302, { location: `${base}/tool` }).end();
      });
      const url = (await listen(server)).replace("http", "https");
      const row = (name: string) => ({ name: "tool", url: `${url}/${name}`, sum: sha256("x") });
      const trusting = { script: MACHINE_SCRIPT.replace("exec", `export CURL_CA_BUNDLE=${cert}; exec`) };
      expect(await run("fetch", [row("tool")])).toEqual({
        status: 1,
        stdout: "",
        stderr: expect.stringMatching("^[^\n]*/tool cannot be downloaded: SSL certificate problem: [^\n]*\n$"),
      });
      expect(await run("fetch", [row("without-tls")], trusting)).toEqual({
        status: 1,
        stdout: "",
        stderr: expect.stringMatching('^[^\n]*/without-tls cannot be downloaded: Protocol "http" [^\n]*\n$'),
      });
      expect(await run("fetch", [row("tool")], trusting)).toMatchObject({ status: 0, stderr: "" });
    });

    test("two runs at once wait for each other", async () => {
      let answer: (() => void) | undefined;
      let count = 0;
      const url = await host((_, response) => {
        count += 1;
        answer = () => response.end("x");
      });
      const table = [{ name: "tool", url: `${url}/tool`, sum: sha256("x") }];
      const first = run("fetch", table);
      await until(() => answer !== undefined, { what: () => "a request" });
      const { child, result } = spawnScript(["unshare", "--mount"], MACHINE_SCRIPT, [write(table), "fetch"]);
      await once(child.stdout, "readable");
      answer?.();
      expect([(await first).status, count]).toEqual([0, 1]);
      expect(await result).toEqual({
        status: 0,
        stdout: "waiting for another run of programs.sh\ntool 1.0.0: already here\n",
        stderr: "",
      });
    });
  });

  describe("fetch fails in one line", () => {
    const good = program("good");

    /** A port of this machine at which nothing listens. */
    async function closedPort(): Promise<string> {
      const server = createServer();
      const url = await listen(server);
      server.close();
      return url;
    }

    /** Fetches a release beside a good one. @returns the line */
    async function failure(row: Row): Promise<string> {
      serve("good", good);
      const goodRow = { name: "good", url: `${base}/good`, sum: sha256(good) };
      await lines("fetch", [goodRow]);
      const { status, stderr } = await run("fetch", [goodRow, row]);
      expect({ status, tree: tree(programs()) }).toEqual({ status: 1, tree: inPlace("good", "1.0.0", "good") });
      expect(stderr.split("\n")).toHaveLength(2);
      return stderr.trimEnd();
    }

    test("a sum that differs from the table's", async () => {
      serve("bad", "bad");
      const sum = sha256("other");
      expect(await failure({ name: "bad", url: `${base}/bad`, sum })).toBe(
        `${hostname()}: ${base}/bad is refused: its sum is ${sha256("bad")}, in ${scratch}/table it is ${sum}`,
      );
    });

    test("a sum that differs from that of the release host", async () => {
      serve("bad", "bad");
      serve("bad.sha256", `${sha256("other")}\n`);
      expect(await failure({ name: "bad", url: `${base}/bad` })).toBe(
        `${hostname()}: ${base}/bad is refused: its sum is ${sha256("bad")}, in ${base}/bad.sha256 it is ${sha256("other")}`,
      );
    });

    test.each([
      ["of another file", `${sha256("bad")}  bad.tgz\n`],
      ["of a file whose name ends so", `${sha256("bad")}  not-bad\n`],
      ["that is too short", "abc\n"],
      ["of two without names", `${sha256("bad")}\n${sha256("other")}\n`],
      ["in a page", "<html>\nnot found\n</html>\n"],
      ["in an empty file", ""],
    ])("a sum %s", async (_, sums) => {
      serve("bad", "bad");
      serve("bad.sha256", sums);
      expect(await failure({ name: "bad", url: `${base}/bad?token=1`, sumUrl: `${base}/bad.sha256` })).toBe(
        `${hostname()}: ${base}/bad.sha256 has no sum of bad`,
      );
    });

    test("a file that is not there", async () => {
      expect(await failure({ name: "none", url: `${base}/none`, sum: sha256("x") })).toBe(
        `${hostname()}: ${base}/none cannot be downloaded: The requested URL returned error: 404`,
      );
      expect(await failure({ name: "none", url: `${base}/none` })).toBe(
        `${hostname()}: ${base}/none.sha256 cannot be downloaded: The requested URL returned error: 404`,
      );
    });

    test("a host that is not there", async () => {
      const url = await closedPort();
      expect(await failure({ name: "dead", url: `${url}/dead` })).toMatch(
        `${hostname()}: ${url}/dead.sha256 cannot be downloaded: Failed to connect to 127.0.0.1 `,
      );
    });

    test("a host that redirects to a file of the machine", async () => {
      const url = await host((_, response) => response.writeHead(302, { location: "file:///etc/passwd" }).end());
      expect(await failure({ name: "passwd", url: `${url}/passwd` })).toMatch(
        /passwd.sha256 cannot be downloaded: Protocol "file" not supported/,
      );
    });

    const members = "bin/tool";
    const TOOL = { name: members, content: program("tool") };
    test.each<[string, () => Promise<Buffer>, string]>([
      [
        "without a member",
        () => archive({ ...TOOL, name: "bin/other" }),
        "is refused: the archive has no program bin/tool",
      ],
      [
        "with a folder as the member",
        () => archive({ name: "bin/tool/", type: "directory" }),
        "is refused: the archive has no program bin/tool",
      ],
      [
        "with a link as the member",
        () => archive({ name: members, type: "symlink", linkname: "/etc/passwd" }),
        "is refused: the archive has no program bin/tool",
      ],
      [
        "with a hard link as the member",
        () => archive({ name: members, type: "link", linkname: "/etc/passwd" }),
        "is refused: the archive has no program bin/tool",
      ],
      [
        "that is cut",
        async () => (await archive(TOOL)).subarray(0, -20),
        "cannot be unpacked: gzip: stdin: unexpected end of file",
      ],
      [
        "that is not compressed",
        async () => Buffer.from("<html>"),
        "cannot be unpacked: gzip: stdin: not in gzip format",
      ],
      [
        "that is not an archive",
        async () => gzipSync("x".repeat(2000)),
        "cannot be unpacked: tar: Exiting with failure status due to previous errors",
      ],
    ])("an archive %s", async (_, content, reason) => {
      const sum = sha256(serve("a.tgz", await content()));
      const url = `${base}/a.tgz`;
      expect(await failure({ name: "tool", kind: "archive", url, sum, members })).toBe(
        `${hostname()}: ${url} ${reason}`,
      );
    });

    test.each<[string, () => Promise<Buffer>, string]>([
      ["a program", async () => Buffer.alloc(2e6), "cannot be downloaded: .*; the disk has \\d+kB of free space"],
      [
        "an archive",
        () => archive({ name: "bin/tool", content: Buffer.alloc(2e6) }),
        "cannot be unpacked: gzip: .*: No space left on device",
      ],
    ])("a disk that is full: %s", async (kind, content, reason) => {
      const sum = sha256(serve("big", await content()));
      const row = {
        name: "tool",
        url: `${base}/big`,
        sum,
        ...(kind === "an archive" ? { kind: "archive", members: "bin/tool" } : {}),
      };
      const { status, stdout, stderr } = await run("fetch", [row], { script: DISK_SCRIPT });
      expect(stderr).toMatch(new RegExp(`^${hostname()}: ${base}/big ${reason}\\n$`));
      expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    });

    test("nothing new starts after a failure, and what runs ends", async () => {
      serve("good", good);
      let answer: (() => void) | undefined;
      const url = await host((_, response) => {
        answer = () => response.end("x");
      });
      const table = [
        { name: "first", url: `${url}/first`, sum: sha256("x") },
        ...["a", "b", "c"].map((name) => ({ name, url: `${base}/none/${name}`, sum: sha256("x") })),
        { name: "last", url: `${base}/good`, sum: sha256(good) },
      ];
      const running = run("fetch", table);
      await until(() => answer !== undefined && requests.length === 3, { what: () => requests.join(" ") });
      await sleep(500);
      answer?.();
      const { status, stderr } = await running;
      expect({ status, tree: tree(programs()) }).toEqual({ status: 1, tree: inPlace("first", "1.0.0", "first") });
      expect(stderr.split("\n")).toHaveLength(4);
    });
  });

  describe("hostile input", () => {
    const NAMES = "of letters, digits and ._+-";
    /** A table with one line. */
    const one = (row: Partial<Row> = {}) => line({ name: "tool", url: "http://a/b", ...row });

    test.each<[string, string, string]>([
      ["an empty table", "", "must have a line for each release, it is empty"],
      ["an empty line", `${one()}\n`, "line 2: it must have 8 or more fields with one space between, got: "],
      [
        "too few fields",
        one().replace(/ \S+\n/, "\n"),
        "line 1: it must have 8 or more fields with one space between, got: tool",
      ],
      [
        "two spaces",
        one().replace(" ", "  "),
        "line 1: it must have 8 or more fields with one space between, got: tool",
      ],
      [
        "a tab",
        one().replace(" ", "\t"),
        "line 1: it must have 8 or more fields with one space between, got: tool?1.0.0",
      ],
      ["a carriage return", one().replace("\n", "\r\n"), "line 1: MEMBER must be one name of a program, got: tool?"],
      [
        "a name with a slash",
        one({ name: "../../bin/tool" }),
        `line 1: NAME must be a name ${NAMES}, got: ../../bin/tool`,
      ],
      ["a name that is the folder above", one({ name: ".." }), "line 1: NAME must be "],
      ["a name with shell text", one({ name: "$(reboot)" }), `line 1: NAME must be a name ${NAMES}, got: $(reboot)`],
      ["a version with a slash", one({ version: "../1" }), `line 1: VERSION must be a version ${NAMES}, got: ../1`],
      ["another kind", one({ kind: "folder" }), "line 1: KIND must be program or archive, got: folder"],
      [
        "another folder",
        one({ folder: "/usr/bin" }),
        "line 1: LINKFOLDER must be /usr/local/bin or /opt/cni/bin, got: /usr/bin",
      ],
      ["a short sum", one({ sum: "abc" }), "line 1: SHA256 must be - or 64 hex digits, got: abc"],
      [
        "another protocol",
        one({ url: "file:///etc/passwd" }),
        "line 1: URL must be an address with http or https, got: file:///etc/passwd",
      ],
      [
        "an option as an address",
        one({ sumUrl: "-o/etc/passwd" }),
        "line 1: SUMURL must be an address with http or https, got: -o/etc/passwd",
      ],
      [
        "a program with two members",
        one({ members: "tool other" }),
        "line 1: MEMBER must be one name of a program, got: tool other",
      ],
      [
        "a program with a path",
        one({ members: "bin/tool" }),
        "line 1: MEMBER must be one name of a program, got: bin/tool",
      ],
      [
        "a member with ..",
        one({ kind: "archive", members: "bin/../../tool" }),
        "line 1: MEMBER must be a path inside of the archive, got: bin/../../tool",
      ],
      [
        "a member that is absolute",
        one({ kind: "archive", members: "/bin/tool" }),
        "line 1: MEMBER must be a path inside of the archive, got: /bin/tool",
      ],
      [
        "a member that is an option",
        one({ kind: "archive", members: "--to-command=x" }),
        "line 1: MEMBER must be a path inside of the archive, got: --to-command=x",
      ],
      [
        "a member with a star",
        one({ kind: "archive", members: "bin/*" }),
        "line 1: MEMBER must be a path inside of the archive, got: bin/*",
      ],
      ["a program in the place of the sum", one({ members: "sha256" }), "line 1: no program can have the name sha256"],
      [
        "two programs for one link",
        one() + one({ name: "other", members: "tool" }),
        "has two programs for /usr/local/bin/tool",
      ],
      ["two releases with one name", one() + one({ members: "other" }), "has two releases with the name tool"],
    ])("a table with %s is refused", async (_, table, message) => {
      for (const command of ["fetch", "link"]) {
        const { status, stdout, stderr } = await run(command, table);
        expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
        expect(stderr.split("\n")).toHaveLength(2);
        expect(stderr).toContain(`${hostname()}: ${scratch}/table ${message}`);
      }
      expect(readdirSync(join(scratch, "local"))).toEqual([]);
    });

    test.each([
      [["none", "fetch"], `${hostname()}: none must be a file with a table of programs\n`],
      [["table"], `${hostname()}: usage: programs.sh TABLE fetch|pending|link\n`],
      [["table", "delete"], `${hostname()}: usage: programs.sh TABLE fetch|pending|link\n`],
    ])("the arguments %j are refused", async (args, stderr) => {
      const { result } = spawnScript(["unshare", "--mount"], MACHINE_SCRIPT, args);
      expect(await result).toEqual({ status: 1, stdout: "", stderr });
    });

    test("another user than root is refused", async () => {
      const asUser = MACHINE_SCRIPT.replace("exec", "exec setpriv --reuid=51001 --clear-groups bash");
      expect(await run("fetch", one(), { script: asUser })).toEqual({
        status: 1,
        stdout: "",
        stderr: `${hostname()}: programs.sh must run as root\n`,
      });
    });

    test("an archive writes nothing outside of its folder", async () => {
      const outside = join(scratch, "outside");
      mkdirSync(outside);
      const content = await archive(
        { name: "bin", type: "symlink", linkname: outside },
        { name: "bin/tool", content: program("tool") },
        { name: "bin/tool", type: "symlink", linkname: join(outside, "tool") },
        { name: "bin/tool", content: program("second") },
        { name: "../../../../../escaped", content: program("escaped") },
        { name: join(scratch, "escaped"), content: program("escaped") },
      );
      const url = `${base}/hostile.tgz`;
      await lines("fetch", [
        { name: "tool", kind: "archive", url, sum: sha256(serve("hostile.tgz", content)), members: "bin/tool" },
      ]);
      expect(tree(programs())).toEqual(inPlace("tool", "1.0.0", "tool"));
      expect(readFileSync(programs("tool/1.0.0/tool"))).toEqual(program("tool"));
      expect(readdirSync(outside)).toEqual([]);
      expect(readdirSync(scratch)).not.toContain("escaped");
      expect(readdirSync(join(scratch, "local"))).toEqual(["lib"]);
    });

    test("text of a host is printed without control characters", async () => {
      const url = await host((_, response) => response.writeHead(302, { location: "x\u009b31m://a" }).end());
      const { stdout, stderr } = await run("fetch", [{ name: "tool", url: `${url}/tool`, sum: sha256("x") }]);
      expect(stdout + stderr).toMatch(/^[ -~\n]*$/);
    });
  });

  describe("link", () => {
    test("links each program, and prints only changes", async () => {
      const table = await worker();
      await lines("fetch", table);
      expect((await lines("link", table)).sort()).toEqual(
        LINKS.map((link) => `${basename(link)} 1.37.2: linked in ${dirname(link)}`).sort(),
      );
      expect(await linked()).toEqual(LINKS.map((link) => `${basename(link)} 1.37.2`));
      expect(await lines("link", table)).toEqual([]);
      rmSync(placeOf("/usr/local/bin/runc"));
      symlinkSync("/nowhere", placeOf("/usr/local/bin/runc"));
      expect(await lines("link", table)).toEqual(["runc 1.37.2: linked in /usr/local/bin"]);

      const next = await worker("1.37.3");
      await lines("fetch", next);
      expect(await linked()).toEqual(LINKS.map((link) => `${basename(link)} 1.37.2`));
      expect(await lines("link", next)).toHaveLength(LINKS.length);
      expect(await linked()).toEqual(LINKS.map((link) => `${basename(link)} 1.37.3`));
      expect(readdirSync(placeOf("/opt/cni/bin")).sort()).toEqual(["bridge", "loopback"]);
    });

    test("does nothing if a release is not complete", async () => {
      const table = await worker();
      await lines("fetch", table.slice(0, -1));
      expect(await run("link", table)).toEqual({
        status: 1,
        stdout: "",
        stderr: `${hostname()}: runc 1.37.2 is not complete in /usr/local/lib/kubernetes/programs: run programs.sh ${scratch}/table fetch\n`,
      });
      expect(existsSync(placeOf("/usr/local/bin"))).toBe(false);
    });

    test.each(["file", "folder"])("does nothing if a %s is in the place of a link", async (kind) => {
      const table = await worker();
      await lines("fetch", table);
      const place = placeOf("/opt/cni/bin/loopback");
      mkdirSync(kind === "file" ? dirname(place) : place, { recursive: true });
      if (kind === "file") writeFileSync(place, "by hand");
      expect(await run("link", table)).toEqual({
        status: 1,
        stdout: "",
        stderr: `${hostname()}: /opt/cni/bin/loopback was not put there by programs.sh: move it to another place, or delete it\n`,
      });
      expect(existsSync(placeOf("/usr/local/bin"))).toBe(false);
      expect(readdirSync(dirname(place))).toEqual(["loopback"]);
    });
  });

  describe("a run that is killed", () => {
    const seed = Number(process.env.KILL_SEED ?? Date.now() % 1e6);
    let state = seed;
    /** Numbers from 0 to 1 that depend on the seed. */
    function random(): number {
      state = (state * 1103515245 + 12345) % 2 ** 31;
      return state / 2 ** 31;
    }

    /** The paths of {@link tree}, without the incomplete ones, which processes may still change. */
    function pathsInPlace(): string[] {
      const names = readdirSync(programs()).filter((name) => name !== ".incomplete");
      const versions = names.flatMap((name) => readdirSync(programs(name)).map((version) => join(name, version)));
      const files = versions.flatMap((version) => readdirSync(programs(version)).map((file) => join(version, file)));
      return [...names, ...versions, ...files].sort();
    }

    /** Runs a command, and kills it at a moment. Processes of it may still run then. */
    async function kill(prefix: readonly string[], script: string, milliseconds: number): Promise<void> {
      const { child } = spawnScript(prefix, script, [join(scratch, "killed")]);
      const ended = once(child, "exit");
      await sleep(milliseconds);
      child.kill("SIGKILL");
      await ended;
    }

    test.each([
      ["with all of its processes, as by a reboot", OWN_PROCESSES, '"$1" "$2" fetch && exec "$1" "$2" link'],
      ["without its processes, which go on", ["unshare", "--mount"], 'exec "$1" "$2" fetch'],
    ])(
      "%s",
      async (_, prefix, commands) => {
        process.stderr.write(`KILL_SEED=${seed}\n`);
        const old = await worker("1.37.1");
        const table = await worker("1.37.2");
        write(table, "killed");
        const started = Date.now();
        await lines("fetch", old);
        await lines("link", old);
        const whole = (Date.now() - started) * 1.3;
        for (let round = 0; round < 12; round += 1) {
          rmSync(join(scratch, "local/lib/kubernetes/programs"), { recursive: true });
          await lines("fetch", old);
          await lines("link", old);
          const milliseconds = Math.round(random() * whole);
          await kill(prefix, MACHINE_SCRIPT.replace('exec "$@"', commands), milliseconds);

          // Each link works, and what is in place is complete.
          const versions = (await linked()).map((printed) => printed.split(" ")[1]);
          expect(versions.filter((version) => version === "1.37.1" || version === "1.37.2")).toHaveLength(LINKS.length);
          const found = pathsInPlace();
          const parts = Object.keys({ ...workerInPlace("1.37.1"), ...workerInPlace("1.37.2") });
          const begun = (path: string) => found.includes(path.split("/").slice(0, 2).join("/"));
          expect(found).toEqual(parts.filter(begun).sort());

          await lines("link", old);
          const { status, stderr } = await run("fetch", table);
          expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
          await lines("link", table);
          expect(tree(programs())).toEqual({ ...workerInPlace("1.37.1"), ...workerInPlace("1.37.2") });
          expect(await linked()).toEqual(LINKS.map((link) => `${basename(link)} 1.37.2`));
          expect(readdirSync(placeOf("/usr/local/bin"))).toHaveLength(5);
        }
      },
      300_000,
    );
  });

  test("a slow host", async () => {
    const { status, stdout, stderr } = await slow;
    expect(stderr).toMatch(
      new RegExp(`^${hostname()}: http://\\S+/slow.sha256 cannot be downloaded: Operation too slow.*\\n$`),
    );
    expect({ status, stdout }).toEqual({
      status: 1,
      stdout: expect.stringMatching(/^slow 1\.0\.0: attempt 2 of 4, because of: Operation too slow.*\n$/),
    });
  }, 120_000);
});
