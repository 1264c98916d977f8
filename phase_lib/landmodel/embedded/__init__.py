"""The embedded land model: a reduced-complexity ELM, honest about being one.

It integrates carbon, nitrogen and phosphorus of 17 PFTs and ten soil layers with a monthly step, reads
and writes ELM's files, and follows ELM's rules of accelerated spin-up, so that every later stage meets
the same files, units and traps as with the real model. What it leaves out, and why, stands here:

- Physics (soil temperature, soil water, snow, active layer) follows from the forcing alone and is
  periodic over the forcing cycle; vegetation does not feed back on it. It is computed once per segment.
- Gross primary production is a light-use efficiency scheme instead of two-leaf photosynthesis.
- Phenology is ELM's in its triggers (degree days, day length, soil water), integrated over the month.
- P immobilisation uses the stored C:P of the donor, so SOM keeps its fixed C:P as real restarts show;
  with the nominal ratio a monthly step could mineralise P that the donor does not hold.
- Nitrate leaves a layer with the drainage and enters the one below; ELM takes it out of the column.
- No fire, crops are generic, no biochemical P mineralisation, no land use.
"""
