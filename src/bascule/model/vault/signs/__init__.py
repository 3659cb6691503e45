"""Signs of how a vault is: what is wrong, when that began, what a server finds when it looks at itself."""
