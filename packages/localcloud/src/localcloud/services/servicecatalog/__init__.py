"""AWS Service Catalog: portfolios of products that are templates."""
