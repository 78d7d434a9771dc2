/**
 * Whether an instance type has an Arm processor: a1, t4g, m7gd, is4gen. The letter g after the number of the generation
 * stands for Graviton, AWS's Arm processor; a1, the first of them, has another name.
 * @see https://docs.aws.amazon.com/ec2/latest/instancetypes/instance-type-names.html
 */
export function isArm(type: string): boolean {
  return /^(a1|[a-z]+\d+g[a-z-]*)\./.test(type);
}

/**
 * Whether machines of an instance type run macOS only. They also need a dedicated host.
 * @see https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-mac-instances.html
 */
export function isMac(type: string): boolean {
  return type.startsWith("mac");
}

/** The family of an instance type: `t2` of `t2.micro`. */
export function instanceFamily(type: string): string {
  return type.split(".")[0] as string;
}
