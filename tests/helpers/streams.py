"""Stream files of DATM for forcing of the embedded world, as a user would write them."""

from __future__ import annotations

from pathlib import Path

_STREAMS = {
    "Prec": "PRECTmms precn",
    "Solr": "FSDS swdn",
    "TPQWL": "TBOT tbot\nWIND wind\nQBOT shum\nPSRF pbot\nFLDS lwdn",
}
_TEXT = """<?xml version="1.0"?>
<file id="stream" version="1.0">
<dataSource>
   GENERIC
</dataSource>
<domainInfo>
  <variableNames>
     time time
     xc lon
     yc lat
     area area
     mask mask
  </variableNames>
  <filePath>
     {domain.parent}
  </filePath>
  <fileNames>
     {domain.name}
  </fileNames>
</domainInfo>
<fieldInfo>
   <variableNames>
     {variables}
   </variableNames>
   <filePath>
     {forcing}
   </filePath>
   <fileNames>
    {names}
   </fileNames>
   <offset>
      0
   </offset>
</fieldInfo>
</file>
"""


def write_streams(directory: Path, domain: Path, forcing: Path, mode: str = "uELM_TES") -> list[Path]:
    """Writes a file `user_datm.streams.txt.MODE.STREAM` for each stream.

    Args:
        directory: for the files.
        domain: domain file of the forcing.
        forcing: directory of its files.
        mode: DATM's mode.
    """
    directory.mkdir(parents=True)
    paths = []
    for stream, variables in _STREAMS.items():
        names = "\n    ".join(path.name for path in sorted(forcing.glob(f"*.{stream}.*.nc")))
        text = _TEXT.format(domain=domain, forcing=forcing, variables=variables, names=names)
        path = directory / f"user_datm.streams.txt.{mode}.{stream}"
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths
