package tokens

// What those who let people fill in forms have to know beforehand.

// Brand is whose sign-in page a provider has, as people know it: "Google",
// "Microsoft", or else the name of its table.
func (p *Provider) Brand() string {
	switch p.brand() {
	case google:
		return "Google"
	case microsoft:
		return "Microsoft"
	}
	return p.Name
}
