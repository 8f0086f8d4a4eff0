"""Power from tegrastats' lines, as Jetsons print them."""

from __future__ import annotations

import pytest

from edgekit.devices.power import power, rails_of

ORIN_NANO = (
    "12-23-2024 22:54:11 RAM 3162/7620MB (lfb 4x2MB) SWAP 0/3810MB (cached 0MB) CPU [1%@729,0%@729,0%@729,off,off,off] "
    "GR3D_FREQ 1% cpu@62.843C soc2@61.968C soc0@60.625C gpu@61.687C tj@62.843C soc1@61.687C VDD_IN 3913mW/3922mW "
    "VDD_CPU_GPU_CV 598mW/598mW VDD_SOC 1238mW/1237mW"
)
AGX_ORIN = (
    "11-21-2025 08:49:48 RAM 13983/62780MB (lfb 424x4MB) SWAP 126/31390MB (cached 0MB) CPU [90%@2201,100%@2201] "
    "EMC_FREQ 1%@2133 GR3D_FREQ 14%@[407,407] VIC_FREQ 115 NVDLA0_FREQ @1600 APE 174 CPU@77.281C tj@77.281C "
    "VDD_GPU_SOC 3150mW/2971mW VDD_CPU_CV 14312mW/12415mW VIN_SYS_5V0 4968mW/5048mW NC 0mW/0mW "
    "VDDQ_VDD2_1V8AO 1091mW/1091mW"
)
NANO = (
    "RAM 1409/3964MB (lfb 28x4MB) SWAP 0/1982MB (cached 0MB) IRAM 0/252kB(lfb 252kB) CPU [22%@518,67%@518,off,off] "
    "EMC_FREQ 0%@1600 GR3D_FREQ 0%@76 APE 25 PLL@28.5C CPU@32C PMIC@50C thermal@31.25C POM_5V_IN 2003/2100 "
    "POM_5V_GPU 0/0 POM_5V_CPU 320/310"
)
AGX_XAVIER = (
    "RAM 5059/30623MB (lfb 5843x4MB) SWAP 0/15311MB (cached 0MB) CPU [3%@1190,off] EMC_FREQ 0% GR3D_FREQ 0% "
    "AO@36.5C GPU@37.5C GPU 0/10 CPU 311/300 SOC 933/930 CV 0/0 VDDRQ 155/150 SYS5V 1401/1400"
)


@pytest.mark.parametrize(
    ("line", "rails"),
    [
        (ORIN_NANO, {"VDD_IN": 3913, "VDD_CPU_GPU_CV": 598, "VDD_SOC": 1238}),
        (AGX_ORIN, {"VDD_GPU_SOC": 3150, "VDD_CPU_CV": 14312, "VIN_SYS_5V0": 4968, "VDDQ_VDD2_1V8AO": 1091}),
        (NANO, {"POM_5V_IN": 2003, "POM_5V_GPU": 0, "POM_5V_CPU": 320}),
        (AGX_XAVIER, {"GPU": 0, "CPU": 311, "SOC": 933, "CV": 0, "VDDRQ": 155, "SYS5V": 1401}),
        ("tegrastats: must be root", {}),
    ],
)
def test_rails_of_a_line(line: str, rails: dict[str, int]):
    assert rails_of(line) == rails


@pytest.mark.parametrize(
    ("line", "rail", "milliwatts"),
    [
        (ORIN_NANO, "VDD_IN", 3913),
        (NANO, "POM_5V_IN", 2003),
        (AGX_ORIN, "VDD_GPU_SOC+VDD_CPU_CV+VIN_SYS_5V0", 3150 + 14312 + 4968),
        (AGX_XAVIER, "GPU+CPU+SOC+CV+VDDRQ+SYS5V", 311 + 933 + 155 + 1401),
    ],
)
def test_energy_is_of_what_the_module_takes(line: str, rail: str, milliwatts: int):
    found = power([(0.5, line), (2.5, line)], (0, 1), (2, 3), 20.0)
    assert found is not None
    assert found["rail"] == rail
    assert found["energy_mj_per_call"] == pytest.approx(milliwatts * 0.020, rel=1e-3)


def test_means_are_of_the_time_of_each():
    lines = [
        (moment, f"VDD_IN {value}mW/9mW") for moment, value in ((0, 100), (0.9, 300), (1.5, 9999), (2, 1000), (3, 3000))
    ]
    found = power(lines, (0, 1), (2, 3), 1.0)
    assert found == {
        "rails": {"VDD_IN": {"mean_mw": 2000.0, "idle_mw": 200.0}},
        "rail": "VDD_IN",
        "energy_mj_per_call": 2.0,
    }


def test_nothing_is_made_up():
    lines = [(0.5, ORIN_NANO)]
    assert power(lines, (0, 1), (2, 3), 1.0) is None
    assert power([], (0, 1), (2, 3), 1.0) is None
    assert power([(0.5, "VDD_SOC 5mW/5mW"), (2.5, "VDD_SOC 5mW/5mW")], (0, 1), (2, 3), 1.0) is None


def test_a_line_of_the_tick_in_which_the_program_begins_is_not_at_rest():
    rest, work = (f"VDD_IN {now}mW/4587mW" for now in (4000, 6000))
    found = power([(0.5, rest), (1.0, work), (1.5, work)], (0, 1), (1, 2), 20.0)
    assert found is not None
    assert found["rails"] == {"VDD_IN": {"mean_mw": 6000.0, "idle_mw": 4000.0}}
