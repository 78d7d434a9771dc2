import "reflect-metadata";
import { spawnSync } from "node:child_process";
import { webcrypto } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as x509 from "@peculiar/x509";
import { credentialFiles } from "../../credentials/files";
import { writeFolder } from "../../credentials/folder";
import { deployedCluster, outputsOf } from "../../testing/deployed-cluster";
import { issueDefaultCluster } from "../../testing/issued-cluster";
import { synthesizeCluster } from "../../testing/synthesize";
import { TUTORIAL_NAME } from "../../testing/tutorial";

const PROJECT = join(__dirname, "../..");
const json = synthesizeCluster();
let files: Record<string, string>;
let scratch: string;

beforeAll(async () => {
  files = credentialFiles(deployedCluster(TUTORIAL_NAME, outputsOf(json, await issueDefaultCluster(json))));
});

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "credentials-"));
});

afterEach(() => rmSync(scratch, { recursive: true }));

const out = () => join(scratch, "out");

/** Runs the program, with other programs from the scratch folder first. */
function run(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--import", "tsx", "tools/credentials.ts", ...args], {
    cwd: PROJECT,
    encoding: "utf8",
    env: { ...process.env, PATH: `${join(scratch, "bin")}:${process.env.PATH}` },
  });
  return { status, stdout, stderr };
}

/** Puts a program, a shell script, before those of the same name. */
function program(name: string, script: string): void {
  mkdirSync(join(scratch, "bin"), { recursive: true });
  writeFileSync(join(scratch, "bin", name), `#!/bin/sh\n${script}\n`);
  chmodSync(join(scratch, "bin", name), 0o755);
}

/** Writes a folder like a synthesized one. */
function synthesized(name = TUTORIAL_NAME): string[] {
  const folder = join(scratch, "cdktf.out");
  mkdirSync(join(folder, "stacks/a"), { recursive: true });
  writeFileSync(
    join(folder, "manifest.json"),
    JSON.stringify({ stacks: { a: { name, workingDirectory: "stacks/a" } } }),
  );
  writeFileSync(join(folder, "stacks/a/cdk.tf.json"), JSON.stringify({ terraform: { backend: { http: {} } } }));
  return ["--from", folder];
}

/** A title of the terminal, a line that would hide the one before, one byte that begins a command, text from right to left. */
const EVIL = ["\u001b]0;title\u0007", "\r\u001b[2Kok\n", "\u009b2J", "\u202ecba"];
const ESCAPED = ["\\u001b]0;title\\u0007", "\\r\\u001b[2Kok\\n", "\\u009b2J", "\\u202ecba"];

/** Expects lines with only visible characters. */
function expectVisible({ stdout, stderr }: { stdout: string; stderr: string }): void {
  expect(`${stdout}${stderr}`).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
}

describe("text from others does not reach the terminal as it is", () => {
  test.each(EVIL.map((text, index) => [ESCAPED[index] as string, text]))("as an argument: %s", (escaped, text) => {
    for (const args of [["check", "--out", text], ["check", `--days=${text}`], [text], [`--${text}`]]) {
      const ended = run(...args);
      expectVisible(ended);
      expect(ended).toMatchObject({ status: 2, stdout: "", stderr: expect.stringContaining(escaped) });
      expect(ended.stderr.split("\n")).toHaveLength(2);
    }
  });

  test("in an error of Terraform", () => {
    program("terraform", `printf 'Error: no \\033]0;title\\007 \\302\\2332J \\342\\200\\256abc' >&2; exit 1`);
    const ended = run(...synthesized());
    expectVisible(ended);
    expect(ended.stderr).toBe("credentials: terraform: no \\u001b]0;title\\u0007 \\u009b2J \\u202eabc\n");
  });

  test("in names of files, fields of certificates and kubeconfigs; also in JSON", async () => {
    writeFolder(out(), files, false);
    const evil = EVIL.join("");
    const secret = "-----BEGIN PRIVATE KEY-----";
    writeFileSync(join(out(), `notes${evil.replaceAll("/", "")}`), secret);
    chmodSync(join(out(), `notes${evil}`), 0o644);
    const kubeconfig = join(out(), "kubeconfigs/admin.kubeconfig");
    const changed = readFileSync(kubeconfig, "utf8").replace(/server: .*/, `server: ${JSON.stringify(evil)}`);
    writeFileSync(kubeconfig, `${changed}    ${JSON.stringify(evil)}: 1\n`);
    const keys = await webcrypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      name: [{ CN: [evil] }, { O: [evil] }],
      keys,
      signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    });
    writeFileSync(join(out(), "ca-authority/kube-proxy.pem"), certificate.toString("pem"));

    const table = run("check", "--out", out());
    expectVisible(table);
    const escaped = ESCAPED.join("");
    expect(table.stdout).toContain(`notes${escaped}`);
    expect(table.stdout).toContain(`common name must be system:kube-proxy, got: ${escaped}`);
    expect(table.stdout).toContain(`user must not have ${escaped}`);
    const inJson = run("check", "--out", out(), "--json");
    expectVisible(inJson);
    const { findings } = JSON.parse(inJson.stdout);
    expect(findings.map(({ path }: { path: string }) => path)).toContain(`notes${evil}`);
  });
});
