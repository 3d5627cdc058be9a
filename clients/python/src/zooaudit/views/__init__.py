"""How a person sees reports, audits, comparisons and models: as text, tables, data frames and figures."""
