import { availability, partitionOf } from "../../model/regions";

test.each([
  ["eu-central-1", "aws", "099720109477"],
  ["us-east-1", "aws", "099720109477"],
  ["us-gov-west-1", "aws-us-gov", "513442679011"],
  ["us-gov-east-1", "aws-us-gov", "513442679011"],
  ["cn-north-1", "aws-cn", "837727238323"],
  ["cn-northwest-1", "aws-cn", "837727238323"],
  ["us-iso-east-1", "aws-iso", undefined],
  ["us-isob-east-1", "aws-iso-b", undefined],
  ["eu-isoe-west-1", "aws-iso-e", undefined],
  ["eusc-de-east-1", "aws-eusc", undefined],
])("%s is in the partition %s, in which Canonical has the account %s", (region, name, canonical) => {
  expect(partitionOf(region)).toMatchObject({ name });
  expect(partitionOf(region).canonical).toBe(canonical);
});

test.each([
  ["eu-north-1", "t2.micro", "no"],
  ["ap-east-1", "t2.small", "no"],
  ["us-gov-east-1", "m4.large", "no"],
  ["me-central-1", "c4.xlarge", "no"],
  ["eu-central-1", "t2.micro", "yes"],
  ["us-gov-west-1", "t2.micro", "yes"],
  ["eu-north-1", "t3.micro", "yes"],
  ["eu-north-1", "t2x.micro", "yes"],
  ["mx-central-1", "t2.micro", "unknown"],
  ["mx-central-1", "t3.micro", "yes"],
])("in %s, %s exists: %s", (region, type, expected) => {
  expect(availability(region, type)).toBe(expected);
});
