import { holds } from "../../model/formats";
import { COMPONENT_VERSION, COMPONENTS, componentVersions, KUBERNETES_VERSION, VERSIONS } from "../../model/versions";

test("each minor version has its own row, and all of them are versions", () => {
  for (const [minor, row] of Object.entries(VERSIONS)) {
    expect(row.kubernetes.startsWith(`${minor}.`)).toBe(true);
    for (const version of Object.values(row)) expect(version).toMatch(COMPONENT_VERSION.pattern as RegExp);
  }
});

test("etcd goes one minor version at a time, as its members allow", () => {
  const minors = Object.values(VERSIONS).map(({ etcd }) => Number(etcd.split(".")[1]));
  for (const [index, minor] of minors.slice(1).entries()) expect(minor - (minors[index] as number)).toBeLessThan(2);
});

test("a patch version goes with the components of its minor version", () => {
  expect(componentVersions({ version: "1.37.0" })).toEqual({
    kubernetes: "1.37.0",
    etcd: "3.7.3",
    containerd: "2.4.2",
    runc: "1.5.2",
    cniPlugins: "1.9.1",
    coreDns: "1.15.0",
    pause: "3.10.2",
    agnhost: "2.66.1",
  });
  expect(componentVersions({ version: "1.36.4" })).toMatchObject({ kubernetes: "1.36.4", etcd: "3.6.14" });
});

test("chosen versions replace those of the table; undefined ones do not", () => {
  for (const component of COMPONENTS) {
    const versions = componentVersions({
      version: "1.37.2",
      components: { coreDns: undefined, etcd: undefined, [component]: "9.8.7" },
    });
    expect(versions).toEqual({ ...VERSIONS["1.37"], [component]: "9.8.7" });
  }
});

test.each([
  "1.34.1",
  "1.38.0",
  "1.37",
  "1.37.2.1",
  "v1.37.2",
  "1.37.02",
  "1.37.2-rc.0",
  "11.37.2",
  "1x37.2",
  "toString",
])("%s is refused", (version) => {
  expect(() => componentVersions({ version })).toThrow(
    `'kubernetes.version' must be a patch version of Kubernetes 1.35, 1.36 or 1.37, such as 1.37.2, got: "${version}"`,
  );
  expect(holds(KUBERNETES_VERSION, version)).toBe(false);
});
