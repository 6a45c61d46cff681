<?php echo "php as ", getenv("POSTGRES_HOST") ?: getenv("MYSQL_HOST") ?: getenv("WORDPRESS_DB_HOST");
