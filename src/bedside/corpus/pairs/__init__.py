"""The template library: what an expert writes beside a single reading; `bedside.reports.pairs` makes training pairs with it."""
