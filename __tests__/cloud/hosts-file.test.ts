import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createHostsFile, updateHostsFile } from "../../cloud/hosts-file";
import { start, until } from "../../cloud/program";

let folder: string;
let file: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "hosts-file-"));
  file = join(folder, "hosts");
  createHostsFile(file);
});

afterEach(() => rmSync(folder, { recursive: true }));

const content = () => readFileSync(file, "utf8");

test("a name can have several addresses, and fewer later; the file stays the same one", () => {
  const { ino } = statSync(file);
  updateHostsFile(file, { "lb.example.com": ["203.0.113.1", "203.0.113.2"] });
  expect(content()).toBe("127.0.0.1 localhost\n203.0.113.1 lb.example.com\n203.0.113.2 lb.example.com\n");
  updateHostsFile(file, { "lb.example.com": ["203.0.113.2"] });
  expect(content()).toBe("127.0.0.1 localhost\n203.0.113.2 lb.example.com\n");
  updateHostsFile(file, {});
  expect(content()).toBe("127.0.0.1 localhost\n");
  expect(statSync(file).ino).toBe(ino);
});

test("a program that reads the file during changes always finds the name", async () => {
  const names = (last: number) => ({ "lb.example.com": ["203.0.113.1", `203.0.113.${last}`] });
  updateHostsFile(file, names(2));
  // It prints the number of reads without the name each 1000 reads.
  const reader = start([
    process.execPath,
    "-e",
    `const { readFileSync } = require("node:fs");
     for (let reads = 1, missing = 0; ; reads++) {
       if (!readFileSync(process.argv[1], "utf8").includes("203.0.113.1 lb.example.com")) missing++;
       if (reads % 1000 === 0) require("node:fs").writeSync(1, missing + "\\n");
     }`,
    file,
  ]);
  await until(
    () => {
      for (let i = 0; i < 1000; i++) updateHostsFile(file, names(i % 200));
      return reader.output().split("\n").length > 20;
    },
    { what: () => "20000 reads", process: reader.process },
  );
  reader.process.kill("SIGKILL");
  const { output } = await reader.ended;
  expect(output.trim().split("\n").at(-1)).toBe("0");
});
