"""The service: whole scans and patches by HTTP, and the page that shows them."""
