"""Who may do what: portal, realm, policy and the guard."""
