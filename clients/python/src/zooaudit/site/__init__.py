"""Reports as HTML: one page that needs nothing else, or a site of static files for all of them."""
