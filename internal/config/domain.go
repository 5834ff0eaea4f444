package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"authferry/internal/address"
	"authferry/internal/config/document"
	"authferry/internal/hint"
	"authferry/tokens/oauth"
)

// readDomains reads the [domain.NAME] tables: whose mailboxes a provider opens
// without their owners.
func readDomains(t *document.Table, providers map[string]*oauth.Provider, tables *document.Table) map[string]string {
	domains := map[string]string{}
	for _, name := range t.Keys() {
		table := t.Table(name)
		provider := table.Text("provider", "")
		table.Done()
		domain := address.FoldDomain(name)
		switch p := providers[provider]; {
		case !address.IsDomain(domain):
			t.Complain(name, "must be a mail domain", `such as [domain."example.com"], in quotes for its dots`)
		case domains[domain] != "":
			t.Complain(name, "is here twice, but for the case of its letters", "keep one of them")
		case provider == "":
			if !table.Has("provider") {
				table.Complain("provider", "missing", "name the [provider.NAME] that opens the mailboxes of the domain")
			} else {
				table.Complain("provider", "names no provider", "")
			}
		case p == nil && tables.Written(provider) != nil: // and complained about
		case p == nil:
			table.Complain("provider", fmt.Sprintf("no provider %q", provider), knownProviders(provider, providers))
		case p.Flow.NeedsPerson():
			table.Complain("provider", fmt.Sprintf("the flow of %s is %s, where each owner signs in, so a domain cannot be enrolled by it", provider, FlowName(p.Flow)),
				"name one with the flow service_account, client_credentials or token_command, or connect the mailboxes one by one")
		default:
			for _, form := range address.DomainForms(domain) {
				domains[form] = provider
			}
		}
	}
	return domains
}

func knownProviders(name string, providers map[string]*oauth.Provider) string {
	known := slices.Sorted(maps.Keys(providers))
	if n := hint.Suggest(name, known); n != "" {
		return fmt.Sprintf("did you mean %s?", n)
	}
	if len(known) == 0 {
		return fmt.Sprintf("add a table [provider.%s]", name)
	}
	return "there are " + strings.Join(known, ", ")
}
