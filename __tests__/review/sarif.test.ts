import type { Log } from "sarif";
import { KINDS } from "../../review/kinds";
import { type SettingsFile, sarifOf } from "../../review/sarif";

const cdktfJson: SettingsFile = { path: "cdktf.json", text: '{\n  "context": {\n    "cluster": {}\n  }\n}\n' };
const RULE = "aws_vpc_security_group_ingress_rule.ssh";
const opened = { kind: "open-world", addresses: [RULE, "b.c"], details: { [RULE]: "TCP 22 from 0.0.0.0/0" } } as const;

const sarif = (findings: Parameters<typeof sarifOf>[0], options: Partial<Parameters<typeof sarifOf>[1]> = {}) =>
  sarifOf(findings, { settings: cdktfJson, category: "comparison", ...options });
const resultsOf = ({ runs: [run] }: Log) => run?.results ?? [];

test("each result has the properties that GitHub requires, and a rule with help", () => {
  const log = sarif([{ kind: "name", addresses: [] }, opened, { kind: "replace-certificate", addresses: ["a.b"] }]);
  const rules = log.runs[0]?.tool.driver.rules ?? [];
  expect(log.version).toBe("2.1.0");
  expect(rules.map(({ id }) => id)).toEqual(KINDS);
  for (const { shortDescription, fullDescription, help, defaultConfiguration } of rules) {
    for (const text of [shortDescription?.text, fullDescription?.text, help?.text, help?.markdown]) {
      expect(text?.length).toBeGreaterThan(0);
      expect(text?.length).toBeLessThanOrEqual(1024);
    }
    expect(defaultConfiguration?.level).toMatch(/^(error|warning|note)$/);
  }
  expect(resultsOf(log)).toHaveLength(4);
  for (const { ruleId, ruleIndex = -1, level, message, locations = [], partialFingerprints } of resultsOf(log)) {
    expect(rules[ruleIndex]).toMatchObject({ id: ruleId, defaultConfiguration: { level } });
    expect(message.text?.length).toBeGreaterThan(0);
    expect(locations.map(({ physicalLocation }) => physicalLocation)).toEqual([
      { artifactLocation: { uri: "cdktf.json" }, region: { startLine: 3 } },
    ]);
    expect(partialFingerprints?.primaryLocationLineHash).toMatch(/^[0-9a-f]{64}$/);
  }
  expect(resultsOf(log).map(({ level }) => level)).toEqual(["warning", "error", "error", "note"]);
});

test("a result is about one address, with its detail and notes", () => {
  const [result] = resultsOf(sarif([{ ...opened, notes: ["More"] }]));
  expect(result?.message.text).toBe(
    `${RULE} (TCP 22 from 0.0.0.0/0): allows connections from the whole internet. More`,
  );
  expect(result?.locations?.[0]?.logicalLocations).toEqual([{ fullyQualifiedName: RULE, kind: "resource" }]);
});

test("a fingerprint is that of the settings file, the kind and the address, and each result has another one", () => {
  const prints = (log: Log) => resultsOf(log).map((each) => each.partialFingerprints?.primaryLocationLineHash);
  const first = prints(sarif([opened, { kind: "access", addresses: ["b.c"] }]));
  expect(new Set(first).size).toBe(3);
  const later = { settings: { ...cdktfJson, text: `\n\n${cdktfJson.text}` } };
  expect(prints(sarif([{ kind: "access", addresses: ["x.y", "b.c"] }], later))[1]).toBe(first[2]);
  const prod = sarif([opened], { settings: { ...cdktfJson, path: "clusters/prod.json" } });
  expect(first).not.toContain(prints(prod)[0]);
  expect(prod.runs[0]?.automationDetails?.id).toBe("review/comparison/clusters/prod.json/");
});

test.each<[string, string | undefined, SettingsFile, number]>([
  ["the settings in cdktf.json", undefined, cdktfJson, 3],
  ["the first line of another file", undefined, { path: "clusters/a.json", text: '{\n  "name": "x"\n}\n' }, 1],
  ["the first line of a file that is not JSON", undefined, { path: "a b.json", text: "" }, 1],
  ["the settings, if the file is the same", cdktfJson.text, cdktfJson, 3],
  ["the first line that differs", "{\n", { path: "a.json", text: '{\n  "name": "x"\n}\n' }, 2],
  ["the last line, if lines are removed at the end", "{\n}\n\n\n", { path: "a.json", text: "{\n}" }, 2],
  ["a file whose name has characters of an address", undefined, { path: "clusters/a#b?.json", text: "{}" }, 1],
])("a result is at %s", (_case, before, settings, line) => {
  const [result] = resultsOf(sarif([opened], { before, settings }));
  expect(result?.locations?.[0]?.physicalLocation).toEqual({
    artifactLocation: { uri: settings.path.replace(" ", "%20").replace("#", "%23").replace("?", "%3F") },
    region: { startLine: line },
  });
});

test("a message contains no link, no placeholder and no control character, whatever an address contains", () => {
  const address = 'a.b["\u001b[x](https://evil.example) {0}"]';
  const text = resultsOf(sarif([{ kind: "access", addresses: [address] }]))[0]?.message.text ?? "";
  expect(text).not.toContain("](");
  expect(text).not.toMatch(/[{}]/);
  expect(text).not.toMatch(/\p{Cc}/u);
});
