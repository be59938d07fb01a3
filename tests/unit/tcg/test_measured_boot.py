import hashlib
import json
from collections.abc import Mapping

import pytest

from swt3_agent.errors import FormatError
from swt3_agent.tcg.event_log import parse_event_log
from swt3_agent.tcg.measured_boot import MeasuredBoot, measured_values
from tests.support.boot_logs import (
    APPLICATION,
    AUTHORITY,
    BOOT_LOGS,
    DRIVER_CONFIG,
    EFI_ACTION,
    GLOBAL,
    IMAGE_SECURITY,
    IPL,
    REAL_LOGS,
    SEPARATOR,
    event,
    header,
    real_log,
    real_pcrs,
    variable,
)

MICROSOFT_UEFI_CA_2011 = "48e99b991f57fc52f76149599bff0a58c47154229b9f8d603ac40d3500248507"
SECURE = variable(GLOBAL, "SecureBoot", b"\1")
INSECURE = variable(GLOBAL, "SecureBoot", b"\0")
END = event(7, SEPARATOR, bytes(4))
CALLING = b"Calling EFI Application from Boot Option"


def booted(*events: bytes) -> MeasuredBoot:
    """What is read from a log that the registers vouch for."""
    log = parse_event_log(header() + b"".join(events))
    return measured_values(log, log.replay())


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.mark.parametrize("name", [name for name in REAL_LOGS if name != "debian-10"])
def test_every_register_of_a_real_log_vouches_for_it(name: str) -> None:
    pcrs = real_pcrs(name)["sha256"]
    boot = measured_values(parse_event_log(real_log(name)), pcrs)
    assert (boot.matched, boot.differing, boot.unlogged) == (tuple(sorted(pcrs)), (), ())
    assert set(boot.events) == set(pcrs)


@pytest.mark.parametrize("name", [name for name in REAL_LOGS if name != "debian-10"])
def test_every_value_of_a_real_log_is_the_known_one(name: str) -> None:
    known = json.loads((BOOT_LOGS / f"{name}.values.json").read_text(encoding="utf-8"))
    values = measured_values(parse_event_log(real_log(name)), real_pcrs(name)["sha256"]).values
    assert {key: list(found) for key, found in values.items()} == known


def test_a_real_log_gives_the_values_of_its_machine() -> None:
    values = measured_values(
        parse_event_log(real_log("rhel8-uefi")), real_pcrs("rhel8-uefi")["sha256"]
    ).values
    assert values["secure-boot"] == ("enabled",)
    assert values["secure-boot-authorities"][0] == f"db sha256:{MICROSOFT_UEFI_CA_2011}"
    assert len(values["loaders"]) == 3
    assert values["firmware-version"] == ("GCE Virtual Firmware v1",)
    assert values["kernel-path"] == ("(hd0,gpt2)/boot/vmlinuz-4.18.0-240.22.1.el8_3.x86_64",)
    assert values["boot-files"] == (*values["kernel"], *values["initrd"])
    assert values["command-line"][0].startswith("(hd0,gpt2)/boot/vmlinuz-4.18.0-240.22.1.el8_3")


def test_a_log_without_sha256_digests_vouches_for_nothing() -> None:
    with pytest.raises(FormatError) as caught:
        measured_values(parse_event_log(real_log("debian-10")), {})
    assert caught.value.code == "EVENT_LOG_BANK"


def test_only_registers_that_the_replay_reaches_are_read() -> None:
    log = parse_event_log(real_log("rhel8-uefi"))
    pcrs = real_pcrs("rhel8-uefi")["sha256"]
    boot = measured_values(
        log, {**pcrs, 7: bytes(32), 9: b"\1" * 32, 13: b"\2" * 32, 15: bytes(32)}
    )
    assert boot.differing == (7, 9)
    assert boot.unlogged == (13,)
    assert not {"secure-boot", "db", "boot-files", "kernel"} & boot.values.keys()
    assert not {7, 9, 13} & boot.events.keys()
    assert "kernel-path" in boot.values  # of PCR 8


def test_registers_that_were_not_quoted_are_not_read() -> None:
    boot = measured_values(parse_event_log(real_log("rhel8-uefi")), {})
    assert boot.values == {}


def test_the_event_of_a_file_is_named_by_what_it_was_loaded_as() -> None:
    boot = measured_values(
        parse_event_log(real_log("ubuntu-2104-no-dbx")), real_pcrs("ubuntu-2104-no-dbx")["sha256"]
    )
    names = [name for name, _ in boot.events[9]]
    assert "kernel /boot/vmlinuz-5.11.0-1008-gcp" in names
    assert "(hd0,gpt1)/boot/grub/grub.cfg" in names


@pytest.mark.parametrize(
    ("data", "state"),
    [
        (SECURE, "enabled"),
        (INSECURE, "disabled"),
        (variable(GLOBAL, "SecureBoot", b""), "disabled"),
        (variable(GLOBAL, "SecureBoot", b"\2"), "disabled"),
    ],
)
def test_secure_boot_is_what_firmware_measured(data: bytes, state: str) -> None:
    assert booted(event(7, DRIVER_CONFIG, data), END).values["secure-boot"] == (state,)


def test_modes_and_databases_are_named() -> None:
    values = booted(
        event(7, DRIVER_CONFIG, variable(GLOBAL, "SetupMode", b"\0")),
        event(7, DRIVER_CONFIG, variable(GLOBAL, "DeployedMode", b"\1")),
        event(7, DRIVER_CONFIG, variable(IMAGE_SECURITY, "dbx", b"")),
        event(7, DRIVER_CONFIG, variable(GLOBAL, "PK", b"key")),
        event(7, DRIVER_CONFIG, variable(IMAGE_SECURITY, "dbt", b"x")),
    ).values
    assert values["setup-mode"] == ("off",)
    assert values["deployed-mode"] == ("on",)
    assert values["dbx"] == ("empty",)
    assert values["platform-key"] == (sha256(b"key"),)
    assert values["secure-boot-variables"] == (f"dbt {sha256(b'x')}",)


def test_secure_boot_that_is_claimed_after_the_separator_is_no_state() -> None:
    boot = booted(event(7, DRIVER_CONFIG, INSECURE), END, event(7, DRIVER_CONFIG, SECURE))
    assert boot.values["secure-boot"] == ("disabled",)
    assert boot.values["secure-boot-authorities"] == (f"SecureBoot {sha256(bytes([1]))}",)


def test_a_separator_under_another_type_is_one_all_the_same() -> None:
    hidden = event(7, IPL, b"no separator", hashed=bytes(4))
    boot = booted(event(7, DRIVER_CONFIG, INSECURE), hidden, event(7, DRIVER_CONFIG, SECURE))
    assert boot.values["secure-boot"] == ("disabled",)


def test_a_state_whose_data_was_not_hashed_is_none() -> None:
    boot = booted(event(7, DRIVER_CONFIG, SECURE, hashed=INSECURE), END)
    assert "secure-boot" not in boot.values
    assert boot.values["secure-boot-authorities"] == (f"unverified {sha256(INSECURE)}",)


def test_two_states_are_both_shown() -> None:
    boot = booted(event(7, DRIVER_CONFIG, SECURE), event(7, DRIVER_CONFIG, INSECURE), END)
    assert boot.values["secure-boot"] == ("enabled", "disabled")


def test_an_authority_is_the_certificate_that_let_an_image_run() -> None:
    authority = variable(IMAGE_SECURITY, "db", bytes(16) + b"certificate")
    boot = booted(event(7, DRIVER_CONFIG, SECURE), END, event(7, AUTHORITY, authority))
    assert boot.values["secure-boot-authorities"] == (f"db {sha256(b'certificate')}",)


def test_no_label_keeps_an_image_out_of_the_loaders() -> None:
    """Whoever hands the log over may put the image itself into the event, under any type."""
    image = b"MZ the bytes that Authenticode hashes"
    boot = booted(
        event(4, EFI_ACTION, CALLING),
        event(4, SEPARATOR, bytes(4)),
        event(4, APPLICATION, b"a device path", hashed=b"loader"),
        event(4, EFI_ACTION, image),
        event(4, SEPARATOR, image),
        event(4, IPL, CALLING, hashed=b"other"),
    )
    expected = (sha256(b"loader"), sha256(image), sha256(image), sha256(b"other"))
    assert boot.values["loaders"] == expected


def test_everything_that_a_boot_loader_hashed_is_listed() -> None:
    boot = booted(
        event(8, IPL, b"grub_cmd: linux /vmlinuz quiet\0", hashed=b"linux /vmlinuz quiet"),
        event(8, IPL, b"grub_cmd: initrd /ucode /initrd\0", hashed=b"initrd /ucode /initrd"),
        event(8, IPL, b"kernel_cmdline: /vmlinuz quiet\0", hashed=b"/vmlinuz quiet"),
        event(8, IPL, b"grub_cmd: harmless\0", hashed=b"harmful"),
        event(9, IPL, b"/vmlinuz\0", hashed=b"kernel"),
        event(9, IPL, b"/initrd\0", hashed=b"initrd"),
        event(9, IPL, b"/else\0", hashed=b"else"),
    )
    assert boot.values["boot-commands"] == (
        "linux /vmlinuz quiet",
        "initrd /ucode /initrd",
        sha256(b"harmful"),
    )
    assert boot.values["command-line"] == ("/vmlinuz quiet",)
    assert boot.values["kernel"] == (sha256(b"kernel"),)
    assert boot.values["initrd"] == (sha256(b"initrd"),)
    assert boot.values["initrd-path"] == ("/ucode", "/initrd")
    assert boot.values["boot-files"] == (sha256(b"kernel"), sha256(b"initrd"), sha256(b"else"))
    assert [name for name, _ in boot.events[9]] == ["kernel /vmlinuz", "initrd /initrd", "/else"]


def test_systemd_stub_is_read_where_its_registers_are_quoted() -> None:
    text = "root=UUID=1 ro\0".encode("utf-16-le")
    boot = booted(
        event(11, IPL, ".linux\0".encode("utf-16-le"), hashed=b".linux\0"),
        event(11, IPL, ".linux\0".encode("utf-16-le"), hashed=b"kernel"),
        event(12, IPL, text),
        event(12, IPL, "credentials\0".encode("utf-16-le"), hashed=b"cpio"),
    )
    assert boot.values["kernel-image"] == (sha256(b".linux\0"), sha256(b"kernel"))
    assert boot.values["command-line"] == ("root=UUID=1 ro",)
    assert boot.values["boot-parameters"] == (sha256(b"cpio"),)


def test_a_text_that_is_too_long_is_named_by_its_digest() -> None:
    long = b"x" * 5000
    boot = booted(event(8, IPL, b"kernel_cmdline: " + long + b"\0", hashed=long))
    assert boot.values["command-line"] == (sha256(long),)


@pytest.mark.parametrize(
    ("shown", "hashed"),
    [
        (b"kernel_cmdline: /vmlinuz quiet", b"kernel_cmdline: /vmlinuz quiet"),
        (b"grub_cmd: linux /vmlinuz", b"grub_cmd: linux /vmlinuz"),
        ("ro\0".encode("utf-16-le") + b"x", "ro\0".encode("utf-16-le") + b"x"),
        (b"grub_cmd: /\xff", b"/\xff"),
    ],
)
def test_what_was_hashed_beside_the_text_of_a_command_does_not_pass_for_it(
    shown: bytes, hashed: bytes
) -> None:
    """Whoever runs GRUB commands could else give his own the look of an accepted one."""
    boot = booted(event(8, IPL, shown, hashed=hashed))
    assert as_dict(boot.values) == {"boot-commands": (sha256(hashed),)}


@pytest.mark.parametrize("text", [b"(none)", b"*", b"empty", b"sha256:" + b"0" * 64])
def test_a_text_that_reads_like_what_stands_for_something_else_is_named_by_its_digest(
    text: bytes,
) -> None:
    boot = booted(event(8, IPL, b"grub_cmd: " + text, hashed=text))
    assert boot.values["boot-commands"] == (sha256(text),)


def test_what_was_measured_twice_is_listed_twice() -> None:
    twice = event(9, IPL, b"/grub.cfg\0", hashed=b"file")
    boot = booted(twice, event(9, IPL, b"/other\0", hashed=b"other"), twice)
    assert boot.values["boot-files"] == (sha256(b"file"), sha256(b"other"), sha256(b"file"))


def test_a_command_with_millions_of_words_costs_no_time_for_each_file() -> None:
    text = b"initrd " + b" ".join(b"/%d" % number for number in range(500_000))
    files = (event(9, IPL, b"/file\0", hashed=b"%d" % number) for number in range(2000))
    values = booted(event(8, IPL, b"grub_cmd: " + text, hashed=text), *files).values
    assert len(values["initrd-path"]) == 64
    assert len(values["boot-files"]) == 2000


def test_a_truncated_log_gives_what_its_whole_registers_vouch_for() -> None:
    whole = parse_event_log(header() + event(0, 8, b"v") + END)
    cut = parse_event_log(header() + event(0, 8, b"v") + END[:-1])
    boot = measured_values(cut, whole.replay())
    assert boot.truncated
    assert boot.matched == (0,)
    assert boot.unlogged == (7,)
    assert as_dict(boot.values) == {"firmware-version": ("v",)}


def as_dict(values: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    return dict(values)
