/** The name patterns of Ubuntu Server's amd64 images, by release. Images from 24.04 on use gp3 disks and another path. */
export const UBUNTU_RELEASES = {
  focal: "ubuntu/images/hvm-ssd/ubuntu-focal-20.04-amd64-server-*",
  jammy: "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-*",
  noble: "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*",
} as const;

/** An Ubuntu release by its code name. */
export type UbuntuRelease = keyof typeof UBUNTU_RELEASES;
