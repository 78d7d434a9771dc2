import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { CONFORMANCE_FOLDER } from "../../cloud/mirror/release-files";
import { createMirror } from "../../cloud/mirror/server";
import { describeSuite } from "../../cloud/requirements";
import { TESTED } from "../../model/versions";
import { layout } from "../../testing/oci-layout";

const PROJECT = join(__dirname, "../..");
const VERSION = `v${TESTED.kubernetes}`;
const ARCHIVE = `https://dl.k8s.io/${VERSION}/kubernetes-test-linux-amd64.tar.gz`;

const folder = mkdtempSync(join(tmpdir(), "conformance-test-"));
afterAll(() => rmSync(folder, { recursive: true }));

interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the program to its end. */
function run(args: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<Ended> {
  const command = ["--import", "tsx", "tools/conformance.ts", ...args];
  return new Promise((done) => {
    execFile(process.execPath, command, { cwd: PROJECT, env }, (error, stdout, stderr) => {
      done({ status: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

/** The result of a program that refuses its input. */
function refused(line: string): Ended {
  return { status: 2, stdout: "", stderr: `conformance: ${line}\n` };
}

test.each([
  [["--procs", "0"], `'--procs' must be a number of tests from 1 to 99, got: "0"`],
  [["--focus", "["], `'--focus' must be a regular expression, got: "["`],
  [
    [],
    "'--kubeconfig' must be the administrator's file, such as NAME/kubeconfigs/admin.kubeconfig of `npm run credentials`, got: nothing",
  ],
  [
    ["--kubeconfig", "none"],
    "'--kubeconfig' must be the administrator's file, such as NAME/kubeconfigs/admin.kubeconfig of `npm run credentials`, got: \"none\"",
  ],
  [["--list", "--programs", "/none"], `/none/e2e.test is missing: get it from ${ARCHIVE} (docs/conformance.md)`],
] as const)("%j is refused", async (args, line) => {
  expect(await run(args)).toEqual(refused(line));
});

test("an address of a registry with a slash at its end is refused", async () => {
  const { status, stderr } = await run(["--registry", "http://a/"]);
  expect(status).toBe(2);
  expect(stderr).toMatch(
    /^conformance: '--registry' must be an http or https address of [^\n]+, got: "http:\/\/a\/"\n$/,
  );
});

describeSuite("the conformance tests", () => {
  let servers: Server[];

  /** Serves at an address of its own, until the end of the tests. */
  async function serve(server: Server): Promise<string> {
    servers.push(server);
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  /** Writes a kubeconfig. */
  function kubeconfig(server: string): string {
    const file = join(folder, "kubeconfig");
    const clusters = [{ name: "it", cluster: { server } }];
    const contexts = [{ name: "it", context: { cluster: "it" } }];
    writeFileSync(
      file,
      JSON.stringify({ apiVersion: "v1", kind: "Config", clusters, contexts, "current-context": "it" }),
    );
    return file;
  }

  beforeAll(() => {
    servers = [];
  });

  afterAll(() => Promise.all(servers.map((server) => new Promise((done) => server.close(done)))));

  test("the smoke is ten tests, of five parts of Kubernetes at least", async () => {
    const { status, stdout, stderr } = await run(["--list", "--smoke"]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const names = stdout.trim().split("\n");
    expect(names).toHaveLength(10);
    expect(new Set(names.map((name) => /^\[sig-[a-z-]+\]/.exec(name)?.[0])).size).toBeGreaterThanOrEqual(5);
  });

  test("a regular expression chooses tests by their names", async () => {
    const { stdout } = await run(["--list", "--focus", "^\\[sig-network\\] DNS .*(Hostname|Subdomain)"]);
    expect(stdout).toBe(
      ["Hostname", "Subdomain"]
        .map((name) => `[sig-network] DNS should provide DNS for pods for ${name} [Conformance]\n`)
        .join(""),
    );
  });

  test("a regular expression that matches no conformance test is refused", async () => {
    // A test that is no conformance test.
    const focus = "should be able to handle large requests: http";
    expect(await run(["--list", "--focus", focus])).toEqual(
      refused(`'--focus' must be a part of a conformance test's name, got: "${focus}"`),
    );
  });

  test("tests whose images a registry lacks are left out, each with its reason", async () => {
    for (const [path, content] of Object.entries(layout("registry.k8s.io/pause:3.10.2"))) {
      const file = join(folder, "mirror/images/pause", path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, content);
    }
    const mirror = createMirror({ folder: join(folder, "mirror"), cache: join(folder, "cache"), log: () => {} });
    const address = await serve(mirror);
    const { status, stdout, stderr } = await run(["--list", "--focus", "sig-api-machinery", "--registry", address]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const aggregator = "\\[sig-api-machinery\\] Aggregator [^\\n]+";
    const image = "registry\\.k8s\\.io/e2e-test-images/sample-apiserver:[\\d.]+";
    expect(stdout).toMatch(new RegExp(`^left out: ${aggregator}: ${address} does not have ${image}$`, "m"));
    expect(stdout).not.toMatch(/^\[sig-api-machinery\] Aggregator/m);
  });

  test("a registry that does not answer is one line", async () => {
    const { status, stdout, stderr } = await run(["--list", "--registry", "http://127.0.0.1:2"]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toMatch(/^conformance: http:\S+ cannot be read: connect ECONNREFUSED 127.0.0.1:2\n$/);
  });

  /** Serves the version of an API server, and returns the path of a kubeconfig for it. */
  async function clusterOf(gitVersion: string): Promise<string> {
    const api = createServer((_request, response) => {
      response.setHeader("content-type", "application/json").end(JSON.stringify({ gitVersion }));
    });
    return kubeconfig(await serve(api));
  }

  test("a cluster of another version is refused", async () => {
    expect(await run(["--kubeconfig", await clusterOf("v1.36.6")])).toEqual(
      refused(
        `e2e.test must be v1.36.6, as the cluster, got: ${VERSION}; get it from https://dl.k8s.io/v1.36.6/kubernetes-test-linux-amd64.tar.gz`,
      ),
    );
  });

  test.each(["", "package.json"])("a report in '%s', which is no folder, is refused", async (report) => {
    expect(await run(["--kubeconfig", await clusterOf(VERSION), "--report", report])).toEqual(
      refused(`'--report' must be a folder that exists or can be created, got: "${report}"`),
    );
  });

  test("a cluster that does not answer is one line", async () => {
    const { status, stdout, stderr } = await run(["--kubeconfig", kubeconfig("http://127.0.0.1:2")]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toMatch(/^conformance: \S+kubectl version failed: [^\n]*127\.0\.0\.1:2[^\n]*\n$/);
  });

  test("without a kubectl of the version, one line has its address", async () => {
    const programs = join(folder, "programs");
    mkdirSync(programs);
    for (const name of ["e2e.test", "ginkgo"]) symlinkSync(join(CONFORMANCE_FOLDER, name), join(programs, name));
    const args = ["--kubeconfig", kubeconfig("http://127.0.0.1:2"), "--programs", programs];
    const get = `put https://dl.k8s.io/${VERSION}/bin/linux/amd64/kubectl into ${programs}`;
    expect(await run(args, { ...process.env, PATH: folder })).toEqual(
      refused(`kubectl must be ${VERSION}, as e2e.test, got: none; ${get}`),
    );
    const kubectl = join(programs, "kubectl");
    const version = JSON.stringify({ clientVersion: { gitVersion: "v1.36.6" } });
    writeFileSync(kubectl, `#!/bin/sh\necho '${version}'\n`, { mode: 0o755 });
    expect(await run(args)).toEqual(
      refused(`kubectl must be ${VERSION}, as e2e.test, got: v1.36.6 in ${kubectl}; ${get}`),
    );
  });
});
